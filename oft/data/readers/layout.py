"""What readers share: files that must be there, listings, licence tags."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oft.errors import DataError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

LICENCE_FILE = "LICENCE"
"""The first line of this file at the top of a data set, where there is one, tags its pictures."""

_REMEDY = "put the data set there in this layout, or run `dvc repro acquire@<dataset>`"


def require_folder(path: Path, layout: str) -> Path:
    """Return the folder.

    Raises:
        DataError: it is missing; the message shows the layout and what to do.
    """
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; expected {layout}; {_REMEDY}")
    return path


def require_file(path: Path, layout: str) -> Path:
    """Return the file.

    Raises:
        DataError: it is missing; the message shows the layout and what to do.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}; expected {layout}; {_REMEDY}")
    return path


def read_json_file(path: Path, layout: str) -> Any:
    """Return the value in a JSON file.

    Raises:
        DataError: the file is missing or not JSON.
    """
    try:
        return json.loads(require_file(path, layout).read_text(encoding="utf-8"))
    except ValueError as error:  # also wrong UTF-8
        raise DataError(f"{path} is not valid JSON ({error}); copy or download it again") from error


def is_picture(name: str) -> bool:
    """Whether a file name has a picture's suffix and is not hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES


def list_pictures(folder: Path) -> list[str]:
    """Return the names of the pictures directly in a folder, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if is_picture(entry.name) and not entry.is_dir())


def clean_captions(captions: Iterable[str]) -> tuple[str, ...]:
    """Return the captions on one line each, without those that are empty."""
    return tuple(cleaned for caption in captions if (cleaned := " ".join(caption.split())))


def licence_tag(root: Path, default: str) -> str:
    """Return the licence tag of a data set: the first line of its LICENCE file, else ``default``."""
    path = root / LICENCE_FILE
    if not path.is_file():
        return default
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[0].strip() if lines and lines[0].strip() else default
