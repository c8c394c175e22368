"""Whether adapters can be made: by the library behind each kind, and on the shapes of the base's layers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from oft.adapters.protocol import AdapterSettings
from oft.adapters.registry import METHODS, create_adapter
from oft.doctor.finding import Finding, Scope
from oft.errors import UserError

if TYPE_CHECKING:
    from oft.params import Params

PLACED = Path("data/models/base/unet")
MINIATURE = Path("data/models/miniature/base/unet")
# torch's words where a tuner computes with values at its start (BOFT); shapes then say nothing.
NEEDS_VALUES = "meta tensors"


def check_adapters(params: Params, root: Path, scope: Scope) -> Iterator[Finding]:
    """Yield a fault for each adapter that cannot be made."""
    control = params.control_adapters if params.control_tasks else []
    others = [
        *(params.subject_adapters if params.subject_tasks else []),
        *(params.style_adapters if params.style_tasks else []),
    ]
    config: dict[str, Any] | None = None
    for name, settings in params.adapters.items():
        is_trained = name in control or name in others
        if not scope.has("init", name) or not (is_trained or scope.stages):
            continue
        config = config or unet_config(params, root, scope)
        try:
            METHODS[settings.method].check(settings)
            if config is not None:
                for with_condition in {name in control or not is_trained, name not in others}:
                    refuse_unfit(settings, config, with_condition=with_condition)
        except UserError as fault:
            yield Finding("fault", f"adapters.{name}", str(fault))
        else:
            yield Finding("ok", f"adapters.{name}", f"can be made (method {settings.method})")


def refuse_unfit(settings: AdapterSettings, config: dict[str, Any], *, with_condition: bool) -> None:
    """Refuse an adapter that does not go with a UNet's layers, of which shapes alone are made.

    Args:
        config: of the UNet, diffusers'.

    Raises:
        ParamsError: the kind refuses a layer or its size.
    """
    import torch
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
        try:
            create_adapter(
                unet, settings, with_condition=with_condition, generator=torch.Generator(device="cpu")
            )
        except UserError as fault:
            if NEEDS_VALUES not in str(fault):
                raise


def unet_config(params: Params, root: Path, scope: Scope) -> dict[str, Any] | None:
    """Return the configuration of the base's UNet, None where it is not known before the base is there."""
    from diffusers import UNet2DConditionModel

    from oft.models.architectures import CheckpointName, write_configs

    source = Path(params.base.source)
    folders = [root / source / "unet"]
    if params.base.source == "miniature":
        folders = [root / MINIATURE]
    elif not scope.has("base"):
        folders = [root / PLACED]
    for folder in folders:
        if (folder / "config.json").is_file():
            return dict(UNet2DConditionModel.load_config(folder))
    if (root / source).is_file() and params.base.config in get_args(CheckpointName):
        with tempfile.TemporaryDirectory() as place:
            write_configs(params.base.config, Path(place))  # type: ignore[arg-type]
            return dict(UNet2DConditionModel.load_config(Path(place) / "unet"))
    return None
