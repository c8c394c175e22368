"""Grids of pictures with words, as PNG files for slides, papers and messages.

Small pictures are enlarged by repeating pixels, never smoothed: what is shown is what was generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from oft.report.results import Picture

MIN_SIDE_PX = 128
"""Smaller pictures are enlarged to at least this."""

MAX_SIDE_PX = 256
"""Larger pictures are reduced to this."""

MARGIN_PX = 16
GAP_PX = 8
ROW_GAP_PX = 18
CAPTION_GAP_PX = 4
TEXT_PX = 14
LINE_PX = 19
MAX_CAPTION_LINES = 2
SIDE_CAPTION_PX = 320
MAX_CHARS = 400

PAPER = (255, 255, 255)
INK = (28, 30, 34)
PALE = (238, 239, 241)


@dataclass(frozen=True, eq=False)
class GridRow:
    """One row of a grid.

    Attributes:
        pictures: one for each column, None where there is none.
        caption: below the row; '' for none.
        below: what stands under each picture (the condition extracted from it); empty for none.
    """

    pictures: Sequence[Picture | None]
    caption: str = ""
    below: Sequence[Picture | None] = ()


def enlarge(picture: Picture, min_side_px: int = MIN_SIDE_PX, max_side_px: int = MAX_SIDE_PX) -> Image.Image:
    """Return a picture at a size for looking at, its proportions kept.

    Below ``min_side_px`` it grows by the smallest whole factor that reaches it, pixels repeated; above
    ``max_side_px`` it is averaged down to it.
    """
    image = Image.fromarray(picture)
    longest = max(image.size)
    if longest < min_side_px:
        factor = -(-min_side_px // longest)
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    if longest > max_side_px:
        image.thumbnail((max_side_px, max_side_px), Image.Resampling.LANCZOS)
    return image


def comparison_grid(rows: Sequence[GridRow], columns: Sequence[str], title: str = "") -> Image.Image:
    """Return rows of pictures below their columns' names, each row with its caption, RGB on white.

    Args:
        rows: at least one; every row has as many pictures as there are columns.
        columns: the names, at least one.
        title: above everything; '' for none.

    Raises:
        ValueError: there is no row or column, or a row has another number of pictures.
    """
    if not rows or not columns:
        raise ValueError(
            "a grid needs at least one row and one column; leave it out where there is nothing to show"
        )
    for row in rows:
        if len(row.pictures) != len(columns) or (row.below and len(row.below) != len(columns)):
            raise ValueError(
                f"each row needs {len(columns)} pictures, one for each column (None where there is none), "
                f"not {len(row.pictures)} with {len(row.below)} below"
            )
    layout = _lay_out(rows, columns, title)
    sheet = Image.new("RGB", (layout.width_px, layout.height_px), PAPER)
    top = _draw_heads(sheet, layout)
    for laid_out in layout.rows:
        _draw_row(sheet, laid_out, top, layout.cell_px)
        top += laid_out.height_px(layout.cell_px) + ROW_GAP_PX
    return sheet


def contact_sheet(rows: Sequence[GridRow], columns: Sequence[str], title: str = "") -> Image.Image:
    """Return a `comparison_grid` whose captions stand beside their rows, where whole sentences have room."""
    grid = comparison_grid([replace(row, caption="") for row in rows], columns, title)
    sheet = Image.new("RGB", (grid.width + SIDE_CAPTION_PX + MARGIN_PX, grid.height), PAPER)
    sheet.paste(grid, (0, 0))
    draw = ImageDraw.Draw(sheet)
    cell_px = (grid.width - 2 * MARGIN_PX + GAP_PX) // len(columns) - GAP_PX
    top = grid.height - MARGIN_PX - len(rows) * (cell_px + ROW_GAP_PX) + ROW_GAP_PX
    for row in rows:
        lines = wrap(row.caption or "no caption", SIDE_CAPTION_PX, cell_px // LINE_PX)
        for number, line in enumerate(lines):
            draw.text((grid.width, top + number * LINE_PX), line, INK, font())
        top += cell_px + ROW_GAP_PX
    return sheet


def stack(sheets: Sequence[Image.Image]) -> Image.Image:
    """Return sheets below each other, left-aligned, on white."""
    whole = Image.new("RGB", (max(s.width for s in sheets), sum(s.height for s in sheets)), PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def wrap(text: str, width_px: float, max_lines: int, *, bold: bool = False) -> list[str]:
    """Return a text broken into at most ``max_lines`` lines, the last cut short with an ellipsis."""
    lines: list[str] = []
    line = ""
    for word in printable(text).split():
        for part in _split_word(word, width_px, bold):
            longer = f"{line} {part}" if line else part
            if line and font(bold).getlength(longer) > width_px:
                lines.append(line)
                longer = part
            line = longer
    lines += [line] if line else []
    if len(lines) <= max_lines:
        return lines
    last = lines[max_lines - 1]
    while last and font(bold).getlength(f"{last}…") > width_px:
        last = last[:-1]
    return [*lines[: max_lines - 1], f"{last.rstrip()}…"]


def printable(text: str, max_chars: int = MAX_CHARS) -> str:
    """Return a caption on one line, without characters that cannot be written or that turn the line about."""
    shown = "".join(c if c.isprintable() else " " for c in text[: max_chars + 1])
    shown = " ".join(shown.split())
    return shown if len(shown) <= max_chars else f"{shown[: max_chars - 1].rstrip()}…"


@lru_cache(maxsize=2)
def font(bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font of all grids: it comes with matplotlib, so that every machine draws the same."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    # The basic layout is the same whether or not PIL finds the Raqm library on a machine.
    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name,
        TEXT_PX,
        layout_engine=ImageFont.Layout.BASIC,
    )


@dataclass(frozen=True, eq=False)
class _LaidOutRow:
    """A row at the size it is drawn, its caption broken into lines."""

    pictures: list[Image.Image | None]
    below: list[Image.Image | None]
    caption: list[str]

    def height_px(self, cell_px: int) -> int:
        pictures_px = 2 * cell_px + GAP_PX if self.below else cell_px
        return pictures_px + (CAPTION_GAP_PX + len(self.caption) * LINE_PX if self.caption else 0)


@dataclass(frozen=True, eq=False)
class _Layout:
    """A grid before it is drawn: its sizes, its rows, and title and columns' names broken into lines."""

    cell_px: int
    width_px: int
    title: list[str]
    heads: list[list[str]]
    rows: list[_LaidOutRow]

    @property
    def title_px(self) -> int:
        return len(self.title) * LINE_PX + (GAP_PX if self.title else 0)

    @property
    def heads_px(self) -> int:
        return max(len(lines) for lines in self.heads) * LINE_PX + GAP_PX

    @property
    def height_px(self) -> int:
        rows_px = sum(row.height_px(self.cell_px) for row in self.rows) + ROW_GAP_PX * (len(self.rows) - 1)
        return 2 * MARGIN_PX + self.title_px + self.heads_px + rows_px


def _lay_out(rows: Sequence[GridRow], columns: Sequence[str], title: str) -> _Layout:
    shown = [(_enlarge_all(row.pictures), _enlarge_all(row.below)) for row in rows]
    images = [image for pair in shown for line in pair for image in line if image is not None]
    cell_px = max((side for image in images for side in image.size), default=MIN_SIDE_PX)
    width_px = 2 * MARGIN_PX + len(columns) * cell_px + (len(columns) - 1) * GAP_PX
    text_px = width_px - 2 * MARGIN_PX
    return _Layout(
        cell_px,
        width_px,
        wrap(title, text_px, MAX_CAPTION_LINES, bold=True),
        [wrap(name, cell_px, MAX_CAPTION_LINES, bold=True) for name in columns],
        [
            _LaidOutRow(pictures, below, wrap(row.caption, text_px, MAX_CAPTION_LINES))
            for row, (pictures, below) in zip(rows, shown, strict=True)
        ],
    )


def _enlarge_all(pictures: Sequence[Picture | None]) -> list[Image.Image | None]:
    return [None if picture is None else enlarge(picture) for picture in pictures]


def _draw_heads(sheet: Image.Image, layout: _Layout) -> int:
    """Draw the title and the columns' names; return where the rows begin, pixels from the top."""
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(layout.title):
        draw.text((MARGIN_PX, MARGIN_PX + number * LINE_PX), line, INK, font(bold=True))
    top = MARGIN_PX + layout.title_px
    for column, lines in enumerate(layout.heads):
        for number, line in enumerate(lines):
            left = _left(column, layout.cell_px)
            left_px = left + (layout.cell_px - font(bold=True).getlength(line)) / 2
            draw.text((left_px, top + number * LINE_PX), line, INK, font(bold=True))
    return top + layout.heads_px


def _draw_row(sheet: Image.Image, row: _LaidOutRow, top: int, cell_px: int) -> None:
    draw = ImageDraw.Draw(sheet)
    _paste_line(sheet, draw, row.pictures, top, cell_px, mark_empty=True)
    _paste_line(sheet, draw, row.below, top + cell_px + GAP_PX, cell_px, mark_empty=False)
    bottom = top + row.height_px(cell_px)
    for number, line in enumerate(row.caption):
        draw.text((MARGIN_PX, bottom - (len(row.caption) - number) * LINE_PX), line, INK, font())


def _left(column: int, cell_px: int) -> int:
    return MARGIN_PX + column * (cell_px + GAP_PX)


def _paste_line(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    images: Sequence[Image.Image | None],
    top: int,
    cell_px: int,
    *,
    mark_empty: bool,
) -> None:
    for column, image in enumerate(images):
        left = _left(column, cell_px)
        if image is not None:
            sheet.paste(image, (left + (cell_px - image.width) // 2, top + (cell_px - image.height) // 2))
        elif mark_empty:
            draw.rectangle((left, top, left + cell_px - 1, top + cell_px - 1), PALE)
            text = "no picture"
            text_left = left + (cell_px - font().getlength(text)) / 2
            draw.text((text_left, top + (cell_px - LINE_PX) // 2), text, INK, font())


def _split_word(word: str, width_px: float, bold: bool) -> list[str]:
    """Return a word wider than the line, in pieces that fit."""
    pieces = []
    while font(bold).getlength(word) > width_px and len(word) > 1:
        length = len(word) - 1
        while length > 1 and font(bold).getlength(word[:length]) > width_px:
            length -= 1
        pieces.append(word[:length])
        word = word[length:]
    return [*pieces, word]
