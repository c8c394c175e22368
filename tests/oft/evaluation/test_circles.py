"""Circle scores: what follows outline and colours scores one, what ignores either does not."""

from __future__ import annotations

import numpy as np
import pytest

from oft.errors import DataError
from oft.evaluation.circles import fill_outline, measure_circles, score_circles
from oft.evaluation.measure import Measurements

SIDE = 64


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.hypot(columns - x, rows - y) <= radius


def outline_of(x: int, y: int, radius: int) -> np.ndarray:
    import cv2

    return np.asarray(cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (x, y), radius, 255, 1))


def paint(circle: np.ndarray, inside: tuple[int, int, int], outside: tuple[int, int, int]) -> np.ndarray:
    return np.where(circle[..., None], np.array(inside), np.array(outside))[None].astype(np.uint8)


RED, BLUE, GREEN = (204, 50, 46), (54, 100, 196), (66, 154, 84)
CIRCLE = disc(30, 24, 12)


@pytest.mark.parametrize("place", [(30, 24, 12), (10, 50, 22), (60, 60, 30), (32, 32, 20)])
def test_the_filled_outline_is_the_circle_even_where_the_edge_cuts_it(place: tuple[int, int, int]) -> None:
    filled, circle = fill_outline(outline_of(*place)), disc(*place)
    assert (filled & circle).sum() / (filled | circle).sum() > 0.95


def test_a_blurred_outline_fills_the_same_circle() -> None:
    import cv2

    large = cv2.circle(np.zeros((512, 512), np.uint8), (240, 200), 100, 255, 2)
    small = cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    filled, circle = fill_outline(small), disc(240.5 / 8 - 0.5, 200.5 / 8 - 0.5, 12.5)
    assert (filled & circle).sum() / (filled | circle).sum() > 0.95


def test_no_outline_is_refused() -> None:
    with pytest.raises(DataError, match="outline of 0 pixels"):
        fill_outline(np.zeros((SIDE, SIDE), np.uint8))


def test_the_real_picture_scores_one() -> None:
    real = paint(CIRCLE, RED, BLUE)
    iou, colour_error = score_circles(real, real, CIRCLE[None])
    assert iou.tolist() == [1.0] and colour_error.tolist() == [0.0]


def test_a_circle_elsewhere_loses_overlap_by_its_place() -> None:
    moved = disc(36, 24, 12)
    iou, _ = score_circles(paint(moved, RED, BLUE), paint(CIRCLE, RED, BLUE), CIRCLE[None])
    assert iou[0] == pytest.approx((moved & CIRCLE).sum() / (moved | CIRCLE).sum())


def test_swapped_colours_score_nothing_and_an_empty_picture_no_overlap() -> None:
    real = paint(CIRCLE, RED, BLUE)
    iou, colour_error = score_circles(paint(CIRCLE, BLUE, RED), real, CIRCLE[None])
    assert iou[0] == 0 and colour_error[0] > 50
    iou, colour_error = score_circles(paint(np.zeros_like(CIRCLE), RED, BLUE), real, CIRCLE[None])
    assert iou[0] == 0 and colour_error[0] > 25


def test_a_wrong_colour_in_the_right_place_is_an_error_of_colour() -> None:
    real = paint(CIRCLE, RED, BLUE)
    iou, colour_error = score_circles(paint(CIRCLE, (230, 120, 40), BLUE), real, CIRCLE[None])
    assert iou[0] == 1 and 10 < colour_error[0] < 60


def test_colours_differ_as_cie_1976_has_it() -> None:
    from skimage.color import rgb2lab

    real, drawn = paint(CIRCLE, RED, BLUE), paint(CIRCLE, GREEN, BLUE)
    expected = np.linalg.norm(rgb2lab(np.array(RED) / 255) - rgb2lab(np.array(GREEN) / 255)) / 2
    assert score_circles(drawn, real, CIRCLE[None])[1][0] == pytest.approx(expected, rel=1e-3)


def test_measuring_pairs_each_picture_with_its_own_circle() -> None:
    other = disc(40, 40, 16)
    real = np.concatenate([paint(CIRCLE, RED, BLUE), paint(other, BLUE, GREEN)])
    outlines = np.stack([outline_of(30, 24, 12), outline_of(40, 40, 16)])
    measured = Measurements()
    measure_circles({"": (real[::-1], np.array([1, 0]))}, outlines, real, measured)
    assert measured.metrics["circle_iou"] > 0.93 and measured.metrics["circle_colour_error"] == 0
    assert len(measured.scores["circle_iou"]) == len(measured.scores["circle_colour_error"]) == 2
