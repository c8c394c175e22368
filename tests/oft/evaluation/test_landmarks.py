"""Landmark scores: laws, a plain re-typing, and the judge's contract."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oft.errors import DataError
from oft.evaluation.landmarks import (
    MAX_NME,
    compute_landmarks,
    extract_landmarks,
    locate_points,
    measure_landmarks,
    score_auc,
    score_landmarks,
)
from oft.evaluation.measure import Measurements
from oft.evaluation.preprocessing import Preprocessing


@pytest.fixture
def faces() -> np.ndarray:
    """Landmarks of five faces, [5, 68, 2], in pictures of 64 px."""
    points = np.random.default_rng(0).uniform(8, 56, (5, 68, 2))
    points[:, 36], points[:, 45] = (20, 30), (44, 30)
    return points


ALL = np.ones(5, dtype=bool)


class Oracle:
    """A judge that puts each point into one cell of a 16 x 16 map; a picture's first pixel is its number."""

    device = torch.device("cpu")

    def __init__(self, cells: np.ndarray, found: list[bool]) -> None:
        self.cells, self.found = cells, found

    def __call__(self, pixel_values: torch.Tensor) -> Any:
        logits = torch.zeros(len(pixel_values), 69, 16, 16)
        for row, number in enumerate((pixel_values[:, 0, 0, 0] * 127.5 + 127.5).round().int().tolist()):
            for point, (column, line) in enumerate(self.cells[number]):
                logits[row, point, line, column] = 50.0
            logits[row, 68] = 3.0 if self.found[number] else -3.0
        return SimpleNamespace(logits=logits)


def numbered_pictures(count: int) -> np.ndarray:
    pictures = np.zeros((count, 64, 64, 3), dtype=np.uint8)
    pictures[:, 0, 0] = np.arange(count)[:, None]
    return pictures


def test_the_true_points_have_no_error(faces: np.ndarray) -> None:
    scores = compute_landmarks(*score_landmarks(faces, faces, ALL))
    assert scores == {
        "landmark_auc": 1.0,
        "landmark_nme": 0.0,
        "landmark_error_px": 0.0,
        "landmark_failure_rate": 0.0,
    }


def test_parity_with_a_plain_retyping(faces: np.ndarray) -> None:
    predicted = faces + np.random.default_rng(1).normal(0, 2, faces.shape)
    error, nme = score_landmarks(predicted, faces, ALL)
    for number in range(5):
        distances = [
            math.hypot(x - u, y - v) for (x, y), (u, v) in zip(predicted[number], faces[number], strict=True)
        ]
        assert error[number] == pytest.approx(sum(distances) / 68)
        assert nme[number] == pytest.approx(sum(distances) / 68 / 24)
    # The area under the curve of cumulative shares, summed numerically.
    bounds = np.linspace(0, MAX_NME, 200_001)
    curve = (nme[None] <= bounds[:, None]).mean(axis=1)
    assert compute_landmarks(error, nme)["landmark_auc"] == pytest.approx(curve.mean(), abs=1e-4)


def test_a_shifted_face_is_off_by_the_shift_and_nme_ignores_the_scale(faces: np.ndarray) -> None:
    error, nme = score_landmarks(faces + np.array([3, 4]), faces, ALL)
    assert error == pytest.approx(np.full(5, 5.0)) and nme == pytest.approx(np.full(5, 5 / 24))
    assert score_landmarks(8 * (faces + np.array([3, 4])), 8 * faces, ALL)[1] == pytest.approx(nme)


def test_a_missed_face_leaves_the_means_and_counts_as_failure(faces: np.ndarray) -> None:
    found = np.array([True, False, True, True, False])
    error, nme = score_landmarks(faces + np.array([0.6, 0.8]), faces, found)
    scores = compute_landmarks(error, nme)
    assert np.isnan(nme[~found]).all() and np.isfinite(nme[found]).all()
    assert scores["landmark_failure_rate"] == pytest.approx(0.4)
    assert scores["landmark_error_px"] == pytest.approx(1.0)
    assert scores["landmark_auc"] == pytest.approx(0.6 * (1 - 1 / 24 / MAX_NME))


def test_without_any_face_there_is_no_error_and_the_curve_is_zero(faces: np.ndarray) -> None:
    scores = compute_landmarks(*score_landmarks(faces, faces, ~ALL))
    assert math.isnan(scores["landmark_nme"]) and math.isnan(scores["landmark_error_px"])
    assert scores["landmark_auc"] == 0 and scores["landmark_failure_rate"] == 1
    measured = Measurements(metrics=dict(scores))
    assert measured.rounded()["landmark_nme"] is None


def test_the_curve_ends_at_its_largest_error() -> None:
    nme = np.array([0.0, MAX_NME / 2, MAX_NME, 3 * MAX_NME, np.nan])
    assert score_auc(nme) == pytest.approx([1, 0.5, 0, 0, 0])


def test_coinciding_eye_corners_are_refused(faces: np.ndarray) -> None:
    faces[3, 45] = faces[3, 36]
    with pytest.raises(DataError, match="face 3 coincide"):
        score_landmarks(faces, faces, ALL)


def test_points_lie_at_the_centres_of_the_cells_that_the_judge_lights() -> None:
    rng = np.random.default_rng(2)
    cells = rng.integers(0, 16, (3, 68, 2))
    judge: Any = SimpleNamespace(model=Oracle(cells, [True, False, True]), preprocessing=Preprocessing())
    points, found = extract_landmarks(numbered_pictures(3), judge, batch_size=2)
    assert found.tolist() == [True, False, True]
    # A cell of a 16 x 16 map is 4 pixels of 64: the middle of the first lies between pixels 1 and 2.
    np.testing.assert_allclose(points, cells * 4 + 1.5, atol=1e-4)


def test_an_even_map_lies_in_the_middle_and_a_mirrored_one_is_mirrored() -> None:
    maps = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(0))
    assert locate_points(torch.zeros(1, 1, 8, 12)).flatten().tolist() == pytest.approx([0.5, 0.5])
    x, y = locate_points(maps).unbind(-1)
    mirrored_x, mirrored_y = locate_points(maps.flip(3)).unbind(-1)
    torch.testing.assert_close(mirrored_x, 1 - x)
    torch.testing.assert_close(mirrored_y, y)


def test_measuring_pairs_each_picture_with_its_own_truth_at_512_px() -> None:
    cells = np.random.default_rng(3).integers(4, 12, (2, 68, 2))
    cells[:, 36], cells[:, 45] = (4, 6), (11, 6)
    judge: Any = SimpleNamespace(model=Oracle(cells, [True, True]), preprocessing=Preprocessing())
    truth = cells[::-1] * 4 + 1.5 + [1.0, 0.0]
    compared = {"": (numbered_pictures(2), np.array([1, 0]))}
    measured = Measurements()
    settings: Any = SimpleNamespace(batch_size=8)
    measure_landmarks(compared, truth, judge, settings, measured)
    assert measured.metrics["landmark_error_px"] == pytest.approx(8.0, abs=1e-3)
    assert measured.scores["landmark_nme"] == pytest.approx([1 / 28] * 2, abs=1e-5)
