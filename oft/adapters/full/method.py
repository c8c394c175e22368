"""Full finetuning as a kind of adapter: every weight of the UNet, as in DreamBooth (arXiv 2208.12242)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from oft.adapters.files import DIFFUSERS_WEIGHTS_FILE
from oft.adapters.protocol import Adapter, AdapterSettings, Method

UNET_FOLDER = "unet"


class FullSettings(AdapterSettings):
    """Every weight of the UNet is trained.

    Attributes:
        train_text_encoder: every weight of the text encoder too.
    """

    method: Literal["full"]
    train_text_encoder: bool = False


def _load_class() -> type[Adapter]:
    from oft.adapters.full.adapter import FullAdapter

    return FullAdapter


METHOD = Method(
    name="full",
    settings=FullSettings,
    meaning=lambda settings: (
        "full finetuning: every weight of the UNet"
        f"{' and of the text encoder' if settings.train_text_encoder else ''} is trained"
    ),
    load_class=_load_class,
    recognises=lambda folder: (Path(folder) / UNET_FOLDER / DIFFUSERS_WEIGHTS_FILE).is_file(),
)
