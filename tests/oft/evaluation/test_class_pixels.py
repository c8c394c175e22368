from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import jaccard_score, recall_score

from oft.evaluation.class_pixels import (
    class_iou,
    count_class_pixels,
    mean_class_accuracy,
    mean_iou,
    mean_iou_of_occurring,
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


def test_the_mean_over_what_occurs_counts_a_class_that_is_only_predicted(
    maps: tuple[np.ndarray, np.ndarray],
) -> None:
    """mmsegmentation: numpy.nanmean of intersection by union, which is 0/0 where a class is in neither."""
    predicted, truth = maps
    pixels = np.pad(count(predicted, truth), ((0, 2), (0, 0)))  # and two classes in neither
    hits, actual, found = pixels.T.astype(float)
    with np.errstate(invalid="ignore"):
        expected = np.nanmean(hits / (actual + found - hits))
    assert mean_iou_of_occurring(pixels) == pytest.approx(expected)
    assert mean_iou_of_occurring(pixels) == pytest.approx(mean_iou(pixels) * 5 / 6)
    present = pixels[actual > 0]
    assert mean_iou_of_occurring(np.stack([present] * 2)) == pytest.approx(np.full(2, mean_iou(present)))
    assert np.isnan(mean_iou_of_occurring(np.zeros_like(pixels)))
