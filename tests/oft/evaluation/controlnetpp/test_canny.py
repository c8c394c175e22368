from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from oft.conditions.canny_kornia import extract_canny_kornia
from oft.errors import DataError
from oft.evaluation.canny import score_edges
from oft.evaluation.controlnetpp import canny
from oft.evaluation.controlnetpp.canny import NAME, measure_edges, score_edges_together
from oft.evaluation.measure import Measurements

SOURCES = np.array([1, 0, 1, 0, 2, 2])


@pytest.fixture
def found_and_truth() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    of_conditions = rng.random((3, 12, 12)) < 0.2
    truth = of_conditions[SOURCES]
    found = truth ^ (rng.random(truth.shape) < 0.1)
    return (found * 255).astype(np.uint8), (truth * 255).astype(np.uint8)


def test_pixels_of_a_condition_s_pictures_are_counted_as_one(
    found_and_truth: tuple[np.ndarray, np.ndarray],
) -> None:
    """As eval/eval_edge.py flattens the stack of a condition's pictures."""
    found, truth = found_and_truth
    f1 = score_edges_together(found, truth, SOURCES)
    for source in range(3):
        mine = source == SOURCES
        expected = f1_score(truth[mine].ravel() > 0, found[mine].ravel() > 0)
        np.testing.assert_allclose(f1[mine], expected)


def test_the_score_of_one_picture_a_condition_is_that_picture_s(
    found_and_truth: tuple[np.ndarray, np.ndarray],
) -> None:
    found, truth = found_and_truth
    np.testing.assert_allclose(
        score_edges_together(found, truth, np.arange(len(found))), score_edges(truth, found)[1]
    )


def test_pictures_without_an_edge_score_zero() -> None:
    """As torchmetrics' BinaryF1Score; the reference protocol leaves them out."""
    blank = np.zeros((2, 4, 4), np.uint8)
    assert score_edges_together(blank, blank, np.array([0, 0])).tolist() == [0, 0]


def test_shapes_must_agree(found_and_truth: tuple[np.ndarray, np.ndarray]) -> None:
    found, truth = found_and_truth
    with pytest.raises(DataError, match="one shape"):
        score_edges_together(found, truth[:-1], SOURCES)


def test_a_condition_found_again_scores_one_and_every_condition_counts_alike(photographs: np.ndarray) -> None:
    conditions = np.stack([extract_canny_kornia(photo)[..., 0] for photo in photographs[:2]])
    # Three pictures of the first condition, all of them right, and one of the second, the wrong one.
    drawn, sources = photographs[[0, 0, 0, 2]], np.array([0, 0, 0, 1])
    compared = {"": (drawn, sources), "_real": (photographs[:2], np.arange(2))}
    measured = Measurements()
    measure_edges(compared, conditions, measured)
    wrong = measured.scores[NAME][3]
    assert measured.scores[NAME] == [1, 1, 1, wrong] and wrong < 0.5
    assert measured.metrics[NAME] == pytest.approx((1 + wrong) / 2)
    assert measured.metrics[f"{NAME}_real"] == 1 and measured.scores[f"{NAME}_real"] == [1] * 4
    assert set(measured.metrics) == {NAME, f"{NAME}_real"}


def test_the_condition_is_the_truth(photographs: np.ndarray) -> None:
    given = np.stack([extract_canny_kornia(photo) for photo in photographs])
    task: Any = SimpleNamespace(
        compared={"": (photographs[[0, 0]], np.array([0, 1]))}, conditioning_images=given
    )
    measured = Measurements()
    canny.FAMILY.measure(task, measured)
    right, wrong = measured.scores[NAME]
    assert right == 1 and wrong < 0.5
