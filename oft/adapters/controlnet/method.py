"""ControlNet (arXiv 2302.05543) as a kind of adapter: a trained copy of the UNet's encoder beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from oft.adapters.files import DIFFUSERS_CONFIG_FILE, read_object
from oft.adapters.protocol import Adapter, AdapterSettings, Method


class ControlNetSettings(AdapterSettings):
    """ControlNet has no settings of its own: its shape is the UNet's."""

    method: Literal["controlnet"]


def _load_class() -> type[Adapter]:
    from oft.adapters.controlnet.adapter import ControlNetAdapter

    return ControlNetAdapter


def _recognises(folder: Path) -> bool:
    return bool(read_object(Path(folder) / DIFFUSERS_CONFIG_FILE).get("_class_name") == "ControlNetModel")


METHOD = Method(
    name="controlnet",
    settings=ControlNetSettings,
    meaning=lambda settings: (
        "ControlNet: a trained copy of the UNet's encoder, its outputs added to the UNet's"
    ),
    load_class=_load_class,
    recognises=_recognises,
    needs_condition=True,
    changes_weights=False,
)
