from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, jaccard_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from oft.errors import CheckpointError, DataError
from oft.evaluation import segmentation
from oft.evaluation.features import Judge
from oft.evaluation.segmentation import (
    compute_segmentation,
    confusion_matrix,
    count_classes,
    extract_label_maps,
)

NUM_CLASSES = 7

Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def maps() -> Pair:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, NUM_CLASSES, (5, 16, 16), dtype=np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(1, NUM_CLASSES, truth.shape))
    return predicted.astype(np.uint8), truth


def test_perfect_prediction_scores_one(maps: Pair) -> None:
    _, truth = maps
    assert compute_segmentation(confusion_matrix(truth, truth, NUM_CLASSES)) == {
        "miou": 1.0,
        "macc": 1.0,
        "aacc": 1.0,
    }


def test_scores_agree_with_scikit_learn(maps: Pair) -> None:
    predicted, truth = maps
    counted = truth != 0
    scores = compute_segmentation(confusion_matrix(predicted, truth, NUM_CLASSES))
    present = np.unique(truth[counted])
    assert scores["miou"] == pytest.approx(
        jaccard_score(truth[counted], predicted[counted], labels=present, average="macro")
    )
    assert scores["macc"] == pytest.approx(balanced_accuracy_score(truth[counted], predicted[counted]))
    assert scores["aacc"] == pytest.approx(accuracy_score(truth[counted], predicted[counted]))


def test_matrix_agrees_with_scikit_learn_when_nothing_is_ignored(maps: Pair) -> None:
    predicted, truth = maps
    np.testing.assert_array_equal(
        confusion_matrix(predicted, truth, NUM_CLASSES, ignore_id=None),
        sklearn_confusion_matrix(truth.ravel(), predicted.ravel(), labels=range(NUM_CLASSES)),
    )


@pytest.mark.parametrize("ignore_id", [0, None])
def test_pixels_of_pictures_add_up_to_the_matrix(maps: Pair, ignore_id: int | None) -> None:
    predicted, truth = maps
    whole = confusion_matrix(predicted, truth, NUM_CLASSES, ignore_id)
    totals = np.zeros((3, NUM_CLASSES), dtype=np.int64)
    for row in count_classes(predicted, truth, NUM_CLASSES, ignore_id):
        assert all(actual + given for actual, given in zip(row.actual, row.predicted, strict=True))
        totals[:, row.classes] += [row.hits, row.actual, row.predicted]
    np.testing.assert_array_equal(totals, [np.diag(whole), whole.sum(axis=1), whole.sum(axis=0)])


def test_matrices_of_shards_add_up_in_any_order(maps: Pair) -> None:
    predicted, truth = maps
    whole = confusion_matrix(predicted, truth, NUM_CLASSES)
    parts = [confusion_matrix(predicted[i], truth[i], NUM_CLASSES) for i in (3, 0, 4, 2, 1)]
    np.testing.assert_array_equal(whole, sum(parts))


def test_matrix_does_not_depend_on_the_chunk(maps: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    predicted, truth = maps
    whole = confusion_matrix(predicted, truth, NUM_CLASSES)
    monkeypatch.setattr(segmentation, "CHUNK_PIXELS", 100)
    np.testing.assert_array_equal(whole, confusion_matrix(predicted, truth, NUM_CLASSES))


def test_predictions_on_ignored_pixels_change_nothing(maps: Pair) -> None:
    predicted, truth = maps
    other = np.where(truth == 0, 3, predicted).astype(np.uint8)
    np.testing.assert_array_equal(
        confusion_matrix(predicted, truth, NUM_CLASSES), confusion_matrix(other, truth, NUM_CLASSES)
    )


def test_classes_absent_in_the_truth_are_left_out_but_taking_them_costs() -> None:
    truth = np.array([[1, 1, 2, 2]], dtype=np.uint8)
    predicted = np.array([[1, 5, 2, 2]], dtype=np.uint8)  # 5 is nowhere in the truth
    scores = compute_segmentation(confusion_matrix(predicted, truth, NUM_CLASSES))
    assert scores == {"miou": 0.75, "macc": 0.75, "aacc": 0.75}


def test_predicting_the_ignored_id_on_a_counted_pixel_is_wrong() -> None:
    truth = np.array([1, 1], dtype=np.uint8)
    predicted = np.array([1, 0], dtype=np.uint8)
    assert compute_segmentation(confusion_matrix(predicted, truth, NUM_CLASSES))["aacc"] == 0.5


@pytest.mark.parametrize(("predicted_id", "true_id", "side"), [(9, 1, "predicted"), (1, 9, "true")])
def test_ids_outside_the_classes_are_refused(predicted_id: int, true_id: int, side: str) -> None:
    with pytest.raises(DataError, match=rf"{side} ids must lie in 0\.\.6, found 9\.\.9"):
        confusion_matrix(
            np.array([predicted_id], dtype=np.uint8), np.array([true_id], dtype=np.uint8), NUM_CLASSES
        )


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match=r"one shape, not \[4, 4\] and \[8, 8\]"):
        confusion_matrix(np.ones((4, 4), np.uint8), np.ones((8, 8), np.uint8), NUM_CLASSES)


def test_nothing_counted_is_refused() -> None:
    empty = np.zeros((2, 2), np.uint8)
    with pytest.raises(DataError, match="counts no pixel"):
        compute_segmentation(confusion_matrix(empty, empty, NUM_CLASSES))


def test_label_maps_have_the_pictures_size_and_do_not_depend_on_the_batch(
    segmenter: Judge, pictures: np.ndarray
) -> None:
    maps = extract_label_maps(pictures, segmenter, 8)
    assert maps.dtype == np.uint8
    assert maps.shape == pictures.shape[:3]
    assert len(np.unique(maps)) > 1  # a constant map would make the next line empty
    # Rounding may flip a pixel between two classes of equal logit, no more.
    assert (extract_label_maps(pictures, segmenter, 2) == maps).mean() > 0.999
    assert (extract_label_maps(pictures[::-1], segmenter, 8)[::-1] == maps).mean() > 0.999


def test_label_maps_are_the_argmax_of_upsampled_logits(segmenter: Judge, pictures: np.ndarray) -> None:
    import torch

    values = torch.tensor(pictures[:1]).permute(0, 3, 1, 2) / 127.5 - 1
    logits = segmenter.model(pixel_values=values).logits
    upsampled = torch.nn.Upsample(size=pictures.shape[1:3], mode="bilinear")(logits)
    np.testing.assert_array_equal(extract_label_maps(pictures[:1], segmenter, 1), upsampled.argmax(1).numpy())


def test_offset_moves_every_id(segmenter: Judge, pictures: np.ndarray) -> None:
    np.testing.assert_array_equal(
        extract_label_maps(pictures, segmenter, 8, offset=1), extract_label_maps(pictures, segmenter, 8) + 1
    )


def test_ids_that_do_not_fit_eight_bits_are_refused(segmenter: Judge, pictures: np.ndarray) -> None:
    with pytest.raises(CheckpointError, match="ids 0-255; a segmenter of 5 classes at offset 252"):
        extract_label_maps(pictures, segmenter, 8, offset=252)


def test_pictures_of_another_layout_are_refused(segmenter: Judge, pictures: np.ndarray) -> None:
    with pytest.raises(DataError, match="uint8"):
        extract_label_maps(pictures.astype(np.float32), segmenter, 8)
