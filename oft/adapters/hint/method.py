"""The hint encoder alone as a kind of adapter: what control is worth without any change to the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from oft.adapters.files import HINT_ENCODER_FILE, read_metadata
from oft.adapters.protocol import Adapter, AdapterSettings, Method


class HintSettings(AdapterSettings):
    """The hint encoder has no settings of its own."""

    method: Literal["hint"]


def _load_class() -> type[Adapter]:
    from oft.adapters.hint.adapter import HintAdapter

    return HintAdapter


def _recognises(folder: Path) -> bool:
    """Whether a hint encoder lies there that was saved as an adapter of its own, not beside rotations."""
    return read_metadata(Path(folder) / HINT_ENCODER_FILE).get("method") == "hint"


METHOD = Method(
    name="hint",
    settings=HintSettings,
    meaning=lambda settings: "the hint encoder alone, every layer of the base as it is",
    load_class=_load_class,
    recognises=_recognises,
    needs_condition=True,
    changes_weights=False,
)
