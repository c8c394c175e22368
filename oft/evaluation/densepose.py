"""Part-map scores: a judge's part map of a generated figure against the map it was made from.

The judge is a segmenter whose classes are the part ids: ``extract_label_maps`` with ``offset=0``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError
from oft.evaluation.diagrams import confusion_rows
from oft.evaluation.measure import Compared, Measurements, Pictures, score_accuracy
from oft.evaluation.metric import Metric, MetricFamily
from oft.evaluation.segmentation import (
    compute_class_iou,
    confusion_matrix,
    count_classes,
    extract_label_maps,
)

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8

    from oft.evaluation.features import Judge
    from oft.evaluation.task import EvaluatedTask
    from oft.settings.evaluation import Evaluation

BACKGROUND_ID = 0
NUM_PART_IDS = 25
"""Background and DensePose's 24 surface parts (Güler et al. 2018)."""

PART_NAMES = (
    "background", "torso back", "torso front", "right hand", "left hand", "left foot", "right foot",
    "right thigh back", "left thigh back", "right thigh front", "left thigh front", "right shin back",
    "left shin back", "right shin front", "left shin front", "left upper arm in", "right upper arm in",
    "left upper arm out", "right upper arm out", "left forearm in", "right forearm in", "left forearm out",
    "right forearm out", "head right", "head left",
)  # fmt: skip


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


def measure_parts(
    compared: Compared, parts: Pictures, judge: Judge, settings: Evaluation, measured: Measurements
) -> None:
    """Add the accuracy of body parts by the judge, and each picture's."""
    for suffix, (pictures, sources) in compared.items():
        predicted = extract_label_maps(pictures, judge, settings.batch_size)
        truth = parts[sources]
        confusion = part_confusion_matrix(predicted, truth)
        measured.add(compute_part_accuracy(confusion), suffix)
        measured.class_counts[suffix] = count_classes(predicted, truth, NUM_PART_IDS, ignore_id=None)
        if not suffix:
            measured.confusion = confusion_rows(confusion, list(PART_NAMES), settings.num_confusion_classes)
            measured.scores["part_accuracy"] = score_accuracy(predicted, truth, truth > 0)


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    measure_parts(
        task.compared, task.labels, task.judges.segmenter("part_segmenter"), task.settings, measured
    )


FAMILY = MetricFamily(
    metrics=(
        Metric(
            "part_accuracy",
            "Body-part accuracy",
            "A judge network finds body parts in the generated picture; the share of the figure's pixels "
            "that it gives the very part asked for. 1 is perfect.",
            direction="higher",
            unit="share",
            per_picture=True,
        ),
        Metric(
            "part_miou",
            "Body-part mean IoU",
            "Overlap of found and given parts, averaged over the parts.",
            direction="higher",
            unit="share",
        ),
        Metric(
            "foreground_iou",
            "Outline IoU",
            "Overlap of found and given figure, whatever the parts.",
            direction="higher",
            unit="share",
        ),
    ),
    measure=_measure,
    conditions=("densepose",),
    judges=("part_segmenter",),
    headline=("part_accuracy", "part_miou", "foreground_iou"),
)
