"""Part-map scores: a judge's part map of a generated figure against the map it was made from.

The judge is a segmenter whose classes are the part ids: ``extract_label_maps`` with ``offset=0``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError
from oft.evaluation.segmentation import compute_class_iou, confusion_matrix

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8

BACKGROUND_ID = 0
NUM_PART_IDS = 25
"""Background and DensePose's 24 surface parts (Güler et al. 2018)."""


def part_confusion_matrix(
    predicted: UInt8[np.ndarray, "*shape"], truth: UInt8[np.ndarray, "*shape"]
) -> Int64[np.ndarray, "25 25"]:
    """Return pixel counts [25, 25], row = true part; unlike ADE20K's id 0, the background counts.

    Raises:
        DataError: shapes differ, or an id outside 0..24.
    """
    return confusion_matrix(predicted, truth, NUM_PART_IDS, ignore_id=None)


def compute_part_accuracy(confusion: Int64[np.ndarray, "25 25"]) -> dict[str, float]:
    """Return ``part_accuracy``, ``part_miou`` and ``foreground_iou``, each in 0..1.

    - part_accuracy: of the pixels that truly belong to a part, the share that is given that very part;
    - part_miou: mean IoU over the parts present in the truth (the background is not one of them);
    - foreground_iou: IoU of "any part" against background: the figure's outline alone.

    Raises:
        DataError: no pixel of the truth belongs to a part.
    """
    actual = confusion.sum(axis=1)
    figure_pixels = actual[BACKGROUND_ID + 1 :].sum()
    if figure_pixels == 0:
        raise DataError("no pixel of the true part maps belongs to a part (ids 1-24); check the part maps")
    part_iou = compute_class_iou(confusion)[BACKGROUND_ID + 1 :]
    inside = confusion[BACKGROUND_ID + 1 :, BACKGROUND_ID + 1 :].sum()
    outside = confusion[BACKGROUND_ID, BACKGROUND_ID]
    return {
        "part_accuracy": float(np.diag(confusion)[BACKGROUND_ID + 1 :].sum() / figure_pixels),
        "part_miou": float(np.nanmean(part_iou)),
        "foreground_iou": float(inside / (confusion.sum() - outside)),
    }
