"""settings.yaml: the settings that a run was made with, beside what it made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oft.storage import atomic_file, dump_yaml

FILE_NAME = "settings.yaml"


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write what could change a run's result as ``folder``/settings.yaml, keys in order.

    Args:
        settings: plain values; inputs by their hashes, no path, time or host.
    """
    with atomic_file(folder / FILE_NAME) as partial:
        partial.write_text(dump_yaml(dict(settings), sort_keys=True), encoding="utf-8")
