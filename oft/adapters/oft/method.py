"""Orthogonal finetuning as a kind of adapter."""

from __future__ import annotations

from pathlib import Path

from oft.adapters.files import CONFIG_FILE, ROTATION_FILE
from oft.adapters.oft.settings import OFTSettings
from oft.adapters.protocol import Adapter, Method


def _load_class() -> type[Adapter]:
    from oft.adapters.oft.adapter import OrthogonalAdapter

    return OrthogonalAdapter


def _meaning(settings: OFTSettings) -> str:
    if settings.coft:
        return "constrained orthogonal finetuning: rotations that must stay close to no rotation"
    return (
        "orthogonal finetuning: each adapted layer's input is rotated; a small encoder lets the condition in"
    )


METHOD = Method(
    name="oft",
    settings=OFTSettings,
    meaning=_meaning,
    load_class=_load_class,
    # What exactly is wrong with such a folder, loading says.
    has_peft_form=True,
    has_magnitudes=True,
    recognises=lambda folder: (
        (Path(folder) / CONFIG_FILE).is_file() or (Path(folder) / ROTATION_FILE).is_file()
    ),
)
