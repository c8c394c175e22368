"""Galleries with their pictures inside the page: small ones as they are, enlarged by whole factors alone."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.claims.findings import Cell, Gallery, GalleryRow
from experiments.claims.numbers import format_number
from oft.errors import DataError
from oft.pictures import load_picture
from oft.report.grids import MAX_SIDE_PX, MIN_SIDE_PX
from oft.report.views import picture_uri


@dataclass(frozen=True)
class Shown:
    """A picture as the page holds it: its address, its size on the page in CSS pixels, and what it shows."""

    src: str
    width: int
    height: int
    alt: str
    is_enlarged: bool


@dataclass(frozen=True)
class ShownCell:
    """A picture, the condition found again in it, and its score; what there is none of is None or ''."""

    picture: Shown
    found: Shown | None
    score: str


@dataclass(frozen=True)
class GalleryView:
    """A gallery, its rows' cells in the order of its columns."""

    gallery: Gallery
    rows: Sequence[tuple[GalleryRow, Sequence[ShownCell | None]]]

    @property
    def has_found(self) -> bool:
        """Whether a condition was found again in any picture."""
        return any(cell is not None and cell.found for _, cells in self.rows for cell in cells)


def view_gallery(gallery: Gallery, folder: Path) -> GalleryView:
    """Return a gallery with its pictures.

    Args:
        folder: where they lie.

    Raises:
        DataError: a picture is missing, damaged or outside the folder.
    """
    scores = [
        score for row in gallery.rows for cell in row.cells.values() if (score := cell.score) is not None
    ]
    decimals = 2 if any(not float(score).is_integer() for score in scores) else 0
    rows = []
    for row in gallery.rows:
        cells = [
            _view_cell(row.cells[key], f"{title}: {row.caption}", folder, decimals)
            if key in row.cells
            else None
            for key, title in gallery.columns
        ]
        rows.append((row, cells))
    return GalleryView(gallery, rows)


def _view_cell(cell: Cell, alt: str, folder: Path, decimals: int) -> ShownCell:
    return ShownCell(
        _show(cell.picture, alt, folder),
        _show(cell.found, f"Found again in it, {alt}", folder) if cell.found is not None else None,
        format_number(cell.score, decimals) if cell.score is not None else "",
    )


def _show(name: str, alt: str, folder: Path) -> Shown:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{name}: a picture of the findings lies in their folder, {folder}, and nowhere else")
    picture = np.asarray(load_picture(path))
    height, width = picture.shape[:2]
    longest = max(width, height)
    factor = max(MIN_SIDE_PX // longest, 1)
    if longest > MAX_SIDE_PX:
        width, height = (max(1, round(side * MAX_SIDE_PX / longest)) for side in (width, height))
    src = _lossless_uri(path) if longest <= MIN_SIDE_PX else ""
    return Shown(src or picture_uri(picture), width * factor, height * factor, alt, factor > 1)


def _lossless_uri(path: Path) -> str:
    """Return a file as it is as an address, where that is a format of the page's; '' where it is none.

    Lossless WebP takes half of what PNG does, and there are hundreds of pictures.
    """
    data = path.read_bytes()
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}" if is_webp else ""
