"""The validation grids of a training, in the order of their steps, as the stage ``train`` leaves them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageDraw

from oft.report.grids import (
    GAP_PX,
    INK,
    LINE_PX,
    MARGIN_PX,
    PAPER,
    enlarge,
    font,
    stack,
    wrap,
)
from oft.report.reading import damaged, decode_picture
from oft.report.results import Note, ValidationGrid

GRIDS_FOLDER = "train/dvclive/plots/images"
"""Where the grids are, below a run's folder: DVCLive's layout of pictures."""

STRIP_GRIDS = 3
"""Grids that a strip of the page shows: the first, the middle and the last."""

SHEET_GRIDS = 8
"""Grids that a sheet shows at most."""

SHEET_SIDE_PX = 512
"""Larger grids are reduced to this on a sheet."""

_NAME = re.compile(r"validation-(\d+)\.png")

_Item = TypeVar("_Item")


def list_validation_grids(run_folder: Path) -> list[tuple[int, Path]]:
    """Return step and file of each validation grid of a run, in the order of steps."""
    found = []
    for path in (run_folder / GRIDS_FOLDER).glob("*.png"):
        if match := _NAME.fullmatch(path.name):
            found.append((int(match[1]), path))
    return sorted(found)


def spread(items: Sequence[_Item], number: int) -> list[_Item]:
    """Return at most so many items (two or more), evenly apart, the first and the last among them."""
    if len(items) <= number:
        return list(items)
    return [items[round(place * (len(items) - 1) / (number - 1))] for place in range(number)]


def read_validation(root: Path, folder: str, num_grids: int, notes: list[Note]) -> tuple[ValidationGrid, ...]:
    """Return at most so many validation grids of a run in the order of steps, the first and the last too."""
    grids = []
    for step, path in spread(list_validation_grids(root / folder), num_grids):
        picture = decode_picture(path.read_bytes())
        if picture is None:
            name = path.relative_to(root).as_posix()
            notes.append(Note("validation", damaged(name, "its bytes are no whole picture")))
        else:
            grids.append(ValidationGrid(step, picture))
    return tuple(grids)


def draw_validation_sheet(grids: Sequence[ValidationGrid], title: str) -> Image.Image:
    """Return grids below each other, each under its step, RGB on white.

    Args:
        grids: at least one.
    """
    shown = [enlarge(grid.picture, max_side_px=SHEET_SIDE_PX) for grid in grids]
    width_px = max(image.width for image in shown)
    parts = [_draw_lines(wrap(title, width_px, 2, bold=True), width_px, bold=True)]
    for grid, image in zip(grids, shown, strict=True):
        parts += [_draw_lines([f"step {grid.step}"], width_px), image]
    inside = stack(parts)
    sheet = Image.new("RGB", (width_px + 2 * MARGIN_PX, inside.height + 2 * MARGIN_PX), PAPER)
    sheet.paste(inside, (MARGIN_PX, MARGIN_PX))
    return sheet


def _draw_lines(lines: Sequence[str], width_px: int, *, bold: bool = False) -> Image.Image:
    part = Image.new("RGB", (width_px, GAP_PX + len(lines) * LINE_PX), PAPER)
    draw = ImageDraw.Draw(part)
    for number, line in enumerate(lines):
        draw.text((0, GAP_PX + number * LINE_PX), line, INK, font(bold))
    return part
