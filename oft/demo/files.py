"""The files of a draw that a browser can fetch: PNGs with their settings, and what adapters were shown."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from oft.demo.studio import ColumnPictures
from oft.generation.plan import slug
from oft.generation.png import readable
from oft.pictures import encode_png
from oft.storage import atomic_file


@dataclass(frozen=True)
class Shown:
    """One picture on the page.

    Attributes:
        file: a PNG with its settings.
        caption: its column and seed.
        settings: in words.
    """

    file: Path
    caption: str
    settings: str


def write_column(drawn: ColumnPictures, scratch: Path) -> tuple[list[Shown], Path | None]:
    """Write a column's pictures, and the conditioning image behind them, to a new folder in ``scratch``.

    Returns:
        The pictures in order of their seeds, and the conditioning image where there is one.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    name = slug(drawn.column.label)
    shown = []
    for picture in drawn.pictures:
        seed = picture.settings["seed"]
        file = folder / f"{name}-seed-{seed}.png"
        picture.write(file)
        caption = f"{drawn.column.label}, seed {seed}"
        shown.append(Shown(file, caption, readable(picture.settings, picture.pixels.shape)))
    if drawn.condition is None:
        return shown, None
    condition = folder / f"{name}-condition.png"
    with atomic_file(condition) as partial:
        partial.write_bytes(encode_png(drawn.condition))
    return shown, condition


def by_seed(columns: list[list[Shown]]) -> list[Shown]:
    """Return pictures row by row: a row of each seed, in it a picture of each column."""
    return [shown for row in zip(*columns, strict=True) for shown in row]
