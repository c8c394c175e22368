"""Validation grids of a training: found in the order of steps, a few chosen, one sheet of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from oft.report.results import ValidationGrid
from oft.report.validation import SHEET_SIDE_PX, draw_validation_sheet, list_validation_grids, spread
from tests.oft.report.conftest import write_validation


def test_grids_are_found_in_the_order_of_steps_and_nothing_else(tmp_path: Path) -> None:
    assert list_validation_grids(tmp_path) == []
    write_validation(tmp_path, (30, 4, 200))
    folder = tmp_path / "train" / "dvclive" / "plots" / "images"
    (folder / "validation-123456789.png").touch()  # more digits than names are filled up to
    (folder / "other.png").touch()
    found = list_validation_grids(tmp_path)
    assert [step for step, _ in found] == [4, 30, 200, 123456789]
    assert found[0][1] == folder / "validation-00000004.png"


def test_a_spread_has_both_ends_and_is_even() -> None:
    assert spread([1, 2], 3) == [1, 2] and spread([], 3) == []
    assert spread(range(5), 3) == [0, 2, 4]
    assert spread(range(2, 10), 3) == [2, 6, 9]
    for number in range(3, 9):
        chosen = spread(range(25), number)
        gaps = np.diff(chosen)
        assert len(chosen) == number and chosen[0] == 0 and chosen[-1] == 24
        assert gaps.max() - gaps.min() <= 1


def test_a_sheet_shows_all_grids_from_above_in_their_order() -> None:
    grids = [ValidationGrid(step, np.full((150, 200, 3), step, np.uint8)) for step in (10, 20, 30)]
    sheet = np.asarray(draw_validation_sheet(grids, "canny_coco oft"))
    column = sheet[:, sheet.shape[1] // 2, 0].tolist()
    places = [[place for place, value in enumerate(column) if value == step] for step in (10, 20, 30)]
    assert [len(place) for place in places] == [150, 150, 150]
    assert max(places[0]) < min(places[1]) and max(places[1]) < min(places[2])


def test_large_grids_are_reduced_on_a_sheet() -> None:
    grids = [ValidationGrid(1, np.zeros((1024, 2048, 3), np.uint8))]
    assert draw_validation_sheet(grids, "canny_coco oft").width < SHEET_SIDE_PX + 50
