from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from oft.report.grids import (
    CAPTION_GAP_PX,
    GAP_PX,
    INK,
    LINE_PX,
    MARGIN_PX,
    MAX_CHARS,
    PALE,
    PAPER,
    ROW_GAP_PX,
    GridRow,
    comparison_grid,
    contact_sheet,
    enlarge,
    font,
    printable,
    stack,
    wrap,
)
from oft.report.results import Picture


def plain(colour: tuple[int, int, int], height_px: int = 64, width_px: int = 64) -> Picture:
    return np.full((height_px, width_px, 3), colour, dtype=np.uint8)


RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize(
    ("side_px", "shown_px"), [(8, 128), (64, 128), (48, 144), (128, 128), (200, 200), (512, 256)]
)
def test_shown_size(side_px: int, shown_px: int) -> None:
    assert enlarge(plain(RED, side_px, side_px)).size == (shown_px, shown_px)


def test_enlarging_repeats_pixels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(enlarge(picture))[::2, ::2], picture)
    np.testing.assert_array_equal(np.asarray(enlarge(picture))[1::2, 1::2], picture)


def test_proportions_are_kept() -> None:
    assert enlarge(plain(RED, 32, 64)).size == (128, 64)


def test_geometry() -> None:
    rows = [GridRow([plain(RED), plain(BLUE)], "one"), GridRow([plain(BLUE), None], "two")]
    grid = comparison_grid(rows, ["left", "right"])
    head_px = LINE_PX + GAP_PX
    row_px = 128 + CAPTION_GAP_PX + LINE_PX
    assert grid.size == (2 * MARGIN_PX + 2 * 128 + GAP_PX, 2 * MARGIN_PX + head_px + 2 * row_px + ROW_GAP_PX)
    pixels = np.asarray(grid)
    top, left = MARGIN_PX + head_px, MARGIN_PX
    second = left + 128 + GAP_PX
    assert (pixels[top : top + 128, left : left + 128] == RED).all()
    assert (pixels[top : top + 128, second : second + 128] == BLUE).all()
    assert (pixels[top : top + 128, left + 128 : second] == PAPER).all()
    top += row_px + ROW_GAP_PX
    assert (pixels[top : top + 128, left : left + 128] == BLUE).all()
    assert tuple(pixels[top, second]) == PALE  # a missing picture is a marked place, not a hole
    assert (pixels[:MARGIN_PX] == PAPER).all() and (pixels[:, :MARGIN_PX] == PAPER).all()


def test_captions_of_a_contact_sheet_stand_beside_their_rows() -> None:
    columns = ["left", "right"]
    rows = [GridRow([plain(RED), plain(BLUE)], "a house"), GridRow([plain(BLUE), plain(RED)], "a tree " * 99)]
    plain_grid = comparison_grid([GridRow(row.pictures) for row in rows], columns, "title")
    pixels = np.asarray(contact_sheet(rows, columns, "title"))
    np.testing.assert_array_equal(pixels[:, : plain_grid.width], np.asarray(plain_grid))
    inked = np.flatnonzero((pixels[:, plain_grid.width :] == INK).all(axis=2).any(axis=1))
    lower = plain_grid.height - MARGIN_PX - 128
    upper = lower - ROW_GAP_PX - 128
    assert ((inked >= upper) & (inked < upper + LINE_PX) | (inked >= lower) & (inked < lower + 128)).all()
    assert inked.min() < upper + LINE_PX and inked.max() > lower + 128 - 2 * LINE_PX
    assert (pixels[:, -MARGIN_PX:] == PAPER).all()


def test_captions_and_names_are_drawn() -> None:
    row = GridRow([plain(RED)])
    without, with_caption = comparison_grid([row], [""]), comparison_grid([GridRow([plain(RED)], "A")], ["A"])
    assert with_caption.height > without.height
    assert (np.asarray(with_caption) == INK).all(axis=2).any()


def test_reextracted_conditions_stand_below_their_picture() -> None:
    grid = comparison_grid([GridRow([plain(RED), plain(RED)], "", [None, plain(BLUE)])], ["", ""])
    pixels = np.asarray(grid)
    top, second = MARGIN_PX + GAP_PX, MARGIN_PX + 128 + GAP_PX
    assert (pixels[top : top + 128, second : second + 128] == RED).all()
    assert (pixels[top + 128 + GAP_PX : top + 256 + GAP_PX, second : second + 128] == BLUE).all()
    assert (pixels[top + 128 : top + 256 + GAP_PX, MARGIN_PX : second - 1] == PAPER).all()
    assert grid.height == MARGIN_PX + top + 2 * 128 + GAP_PX


def test_rows_must_fit_the_columns() -> None:
    with pytest.raises(ValueError, match="needs 2 pictures"):
        comparison_grid([GridRow([None])], ["a", "b"])
    with pytest.raises(ValueError, match="at least one row"):
        comparison_grid([], ["a"])


def test_grids_are_deterministic() -> None:
    grids = [comparison_grid([GridRow([plain(RED)], "é “x”")], ["OFT"], "t").tobytes() for _ in range(2)]
    assert grids[0] == grids[1]


def test_wrapped_lines_fit_and_end_in_an_ellipsis() -> None:
    lines = wrap("word " * 60 + "x" * 300, 200, 3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(font().getlength(line) <= 200 for line in lines)
    assert wrap("", 200, 2) == []
    assert "".join(wrap("y" * 100, 200, 99)) == "y" * 100


def test_captions_are_made_printable() -> None:
    assert printable("a\nb\t c\x00d\u202ee\ud800f") == "a b c d e f"
    assert len(printable("z" * 10_000)) == MAX_CHARS


def test_sheets_are_stacked() -> None:
    whole = stack([Image.new("RGB", (10, 4), RED), Image.new("RGB", (6, 3), BLUE)])
    assert whole.size == (10, 7)
    assert whole.getpixel((9, 5)) == PAPER
    assert whole.getpixel((5, 5)) == BLUE
