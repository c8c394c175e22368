from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import jaccard_score, recall_score

from oft.evaluation.class_pixels import (
    class_iou,
    count_class_pixels,
    mean_class_accuracy,
    mean_iou,
    pixel_accuracy,
    to_json,
)
from oft.evaluation.segmentation import confusion_matrix

NUM_CLASSES = 6


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true ids of four pictures; class 5 is never true."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, NUM_CLASSES - 1, (4, 16, 16), dtype=np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, NUM_CLASSES, truth.shape))
    return predicted.astype(np.uint8), truth


def count(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return count_class_pixels(confusion_matrix(predicted, truth, NUM_CLASSES, ignore_id=None))


def test_scores_agree_with_scikit_learn(maps: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, truth = (ids.ravel() for ids in maps)
    pixels = count(predicted, truth)
    present = list(range(NUM_CLASSES - 1))
    each = jaccard_score(truth, predicted, labels=present, average=None)
    assert class_iou(pixels) == pytest.approx([*each, np.nan], nan_ok=True)
    assert mean_iou(pixels) == pytest.approx(each.mean())
    assert mean_class_accuracy(pixels) == pytest.approx(
        recall_score(truth, predicted, labels=present, average="macro")
    )
    assert pixel_accuracy(pixels) == pytest.approx((truth == predicted).mean())


def test_counts_of_pictures_add_up_and_sets_are_scored_at_once(maps: tuple[np.ndarray, np.ndarray]) -> None:
    each = np.stack([count(found, real) for found, real in zip(*maps, strict=True)])
    np.testing.assert_array_equal(each.sum(axis=0), count(*maps))
    for score in (mean_iou, mean_class_accuracy, pixel_accuracy):
        np.testing.assert_array_equal(score(each), [score(pixels) for pixels in each])


def test_nothing_true_is_no_score() -> None:
    nothing = np.zeros((2, 3, 3), np.int64)
    nothing[1, 2] = [0, 0, 7]  # predicted, and not there
    for score in (mean_iou, mean_class_accuracy, pixel_accuracy):
        assert np.isnan(score(nothing)).all()


def test_rows_hold_the_classes_that_occur() -> None:
    assert to_json(np.array([[0, 0, 0], [1, 2, 3], [0, 0, 4]])) == {"1": [1, 2, 3], "2": [0, 0, 4]}
