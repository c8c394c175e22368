from __future__ import annotations

import numpy as np
import pytest

from oft.errors import DataError
from oft.evaluation.densepose import compute_part_accuracy, part_confusion_matrix


@pytest.fixture
def parts() -> np.ndarray:
    figure = np.zeros((2, 10, 10), dtype=np.uint8)
    figure[:, 2:8, 3:5], figure[:, 2:8, 5:7] = 2, 24
    return figure


def test_perfect_prediction_scores_one(parts: np.ndarray) -> None:
    assert compute_part_accuracy(part_confusion_matrix(parts, parts)) == {
        "part_accuracy": 1.0,
        "part_miou": 1.0,
        "foreground_iou": 1.0,
    }


def test_background_everywhere_scores_zero(parts: np.ndarray) -> None:
    assert compute_part_accuracy(part_confusion_matrix(np.zeros_like(parts), parts)) == {
        "part_accuracy": 0.0,
        "part_miou": 0.0,
        "foreground_iou": 0.0,
    }


def test_swapped_parts_keep_the_outline_only(parts: np.ndarray) -> None:
    swapped = np.select([parts == 2, parts == 24], [24, 2], 0).astype(np.uint8)
    assert compute_part_accuracy(part_confusion_matrix(swapped, parts)) == {
        "part_accuracy": 0.0,
        "part_miou": 0.0,
        "foreground_iou": 1.0,
    }


def test_figure_drawn_over_the_background_keeps_accuracy_and_loses_overlap(parts: np.ndarray) -> None:
    flooded = np.where(parts == 0, 2, parts).astype(np.uint8)
    scores = compute_part_accuracy(part_confusion_matrix(flooded, parts))
    assert scores["part_accuracy"] == 1.0
    assert scores["foreground_iou"] == pytest.approx((parts > 0).mean())
    assert scores["part_miou"] == pytest.approx((24 / (24 + 152) + 1) / 2)


def test_relabelling_parts_in_both_maps_changes_nothing(parts: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    predicted = np.where(rng.random(parts.shape) < 0.7, parts, rng.integers(0, 25, parts.shape))
    relabel = np.concatenate([[0], 1 + rng.permutation(24)])
    scores = compute_part_accuracy(part_confusion_matrix(predicted.astype(np.uint8), parts))
    relabelled = compute_part_accuracy(
        part_confusion_matrix(relabel[predicted].astype(np.uint8), relabel[parts].astype(np.uint8))
    )
    assert relabelled == pytest.approx(scores)


def test_maps_without_a_figure_are_refused(parts: np.ndarray) -> None:
    with pytest.raises(DataError, match="no pixel of the true part maps"):
        compute_part_accuracy(part_confusion_matrix(parts, np.zeros_like(parts)))
