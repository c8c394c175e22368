"""What pictures are drawn from: prompts, conditioning images, pictures to draw over, masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, UInt8

from oft.conditions.batching import extract_batches
from oft.conditions.registry import CONDITIONS, extract_condition
from oft.datasets.layout import list_pictures
from oft.errors import DataError, ParamsError
from oft.pictures import load_picture, prepare

if TYPE_CHECKING:
    from oft.conditions.condition import Settings

Square = UInt8[np.ndarray, "side side 3"]

MASK_THRESHOLD = 128
"""Grey levels from here on are drawn anew, as in diffusers (its 0.5)."""


def read_prompts(file: Path) -> list[str]:
    """Return the prompts of a text file, one a line; empty lines are left out.

    Raises:
        DataError: the file is missing, no UTF-8 text or has no prompt.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{file}: must be a file of prompts in UTF-8, one a line ({fault})") from fault
    if not (prompts := [line.strip() for line in lines if line.strip()]):
        raise DataError(f"{file}: has no prompt; write one a line")
    return prompts


def find_pictures(path: Path) -> list[Path]:
    """Return a picture, or all those directly in a folder, by name.

    Raises:
        DataError: there is none.
    """
    if path.is_file():
        return [path]
    found = [path / name for name in list_pictures(path)] if path.is_dir() else []
    if not found:
        raise DataError(f"{path}: must be a picture or a folder of pictures, and there is none")
    return found


def caption_beside(picture: Path) -> str | None:
    """Return the first line of the text file beside a picture, ``cat.txt`` beside ``cat.png``."""
    text = picture.with_suffix(".txt")
    return read_prompts(text)[0] if text.is_file() else None


def read_square(path: Path, side_px: int) -> Square:
    """Return the centre square of a picture at the size that is drawn.

    Raises:
        PictureError: the file is missing or cannot be decoded.
    """
    return np.asarray(prepare(load_picture(path), side_px))


def read_condition(path: Path, side_px: int) -> Square:
    """Return a ready conditioning image at the size that is drawn; colours and lines are never blended.

    Raises:
        PictureError: the file is missing or cannot be decoded.
    """
    return np.asarray(prepare(load_picture(path), side_px, "nearest"))


def read_mask(path: Path, side_px: int) -> Bool[np.ndarray, "side side"]:
    """Return where a mask is white: what is drawn anew.

    Raises:
        PictureError: the file is missing or cannot be decoded.
        DataError: it is black all over.
    """
    mask = np.asarray(prepare(load_picture(path).convert("L"), side_px, "nearest")) >= MASK_THRESHOLD
    if not mask.any():
        raise DataError(f"{path}: a mask is white where the picture is drawn anew, and it is black all over")
    return mask


def extractable() -> list[str]:
    """Return the names of the conditions that are made from a picture alone."""
    return [condition.name for condition in CONDITIONS.values() if not condition.needs_annotation()]


def extract_conditions(
    name: str, settings: Settings, pictures: Sequence[Square], device: str
) -> list[Square]:
    """Return the conditioning image of each picture, made as the pipeline makes it.

    Args:
        name: of a condition that is made from the picture alone, by a network or without.

    Raises:
        ParamsError: there is no such condition, or it is made from maps that a data set has.
        CheckpointError: the weights of its network are missing.
    """
    condition = CONDITIONS.get(name)
    if condition is None or condition.needs_annotation():
        reason = "is made from a data set's maps" if condition else "is no condition"
        raise ParamsError(
            f"--extract ({name}): {reason}; choose one of {', '.join(extractable())}, or leave --extract "
            "out and give the conditioning image itself"
        )
    if condition.load is None:
        return [extract_condition(condition, picture, None, **settings) for picture in pictures]
    made = [image for _, image in extract_batches(condition, settings, device, enumerate(pictures))]
    return made if condition.extract is None else [condition.extract(labels) for labels in made]
