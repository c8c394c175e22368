"""A tuner of the PEFT library (LoRA, BOFT, HRA, ...) as a kind of adapter, by the name that PEFT gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from oft.adapters.files import ADAPTER_FILE, CONFIG_FILE, read_metadata, read_object
from oft.adapters.protocol import Adapter, AdapterSettings, Method

# What this project sets itself: a setting of that name would say it twice.
_SET_HERE = (
    "peft_type",
    "task_type",
    "inference_mode",
    "base_model_name_or_path",
    "auto_mapping",
    "revision",
)


class PeftSettings(AdapterSettings):
    """A tuner by name; any further setting is one of its own configuration class.

    Attributes:
        type: PEFT's name of the tuner, such as LORA.
        target_modules: what PEFT takes: endings of layers' names or one regular expression; None takes the
            paper's layers.
        train_text_encoder: put a tuner of the same settings on the text encoder's attention too.
    """

    model_config = ConfigDict(extra="allow")

    method: Literal["peft"]
    type: Annotated[str, Field(pattern=r"^[A-Z0-9_]+$")]
    target_modules: list[str] | str | None = None
    train_text_encoder: bool = False

    @model_validator(mode="after")
    def _own_settings_are_the_tuners(self) -> PeftSettings:
        if taken := [name for name in _SET_HERE if name in (self.model_extra or {})]:
            raise ValueError(f"{', '.join(taken)}: is set by this pipeline; leave it out")
        if self.target_modules is not None and not self.target_modules:
            raise ValueError("target_modules must name a layer; null takes those of the paper")
        return self

    @property
    def own(self) -> dict[str, Any]:
        """The settings of the tuner's own configuration class."""
        return dict(self.model_extra or {})


def _load_class() -> type[Adapter]:
    from oft.adapters.peft.adapter import PeftAdapter

    return PeftAdapter


def _check(settings: PeftSettings) -> None:
    from oft.adapters.peft.config import make_config
    from oft.adapters.targets import UNET_CONTROL_TARGETS

    make_config(settings, settings.target_modules or UNET_CONTROL_TARGETS)


def _recognises(folder: Path) -> bool:
    """Whether a PEFT folder lies there that is not one of the kind ``oft``, whose files have this form."""
    tuner = read_object(Path(folder) / CONFIG_FILE).get("peft_type")
    if tuner != "OFT":
        return isinstance(tuner, str)
    return read_metadata(Path(folder) / ADAPTER_FILE).get("method") == "peft"


METHOD = Method(
    name="peft",
    settings=PeftSettings,
    meaning=lambda settings: f"the tuner {settings.type} of the PEFT library on the same layers",
    load_class=_load_class,
    recognises=_recognises,
    check=_check,
    has_peft_form=True,
)
