"""settings.yaml: the settings that a run was made with, beside what it made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from oft.storage import atomic_file

FILE_NAME = "settings.yaml"


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write what could change a run's result as ``folder``/settings.yaml, keys in order.

    Args:
        settings: plain values; inputs by their hashes, no path, time or host.
    """
    with atomic_file(folder / FILE_NAME) as partial:
        partial.write_text(yaml.safe_dump(dict(settings), allow_unicode=True), encoding="utf-8")
