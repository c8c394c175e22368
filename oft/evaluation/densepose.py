"""Part-map scores: a judge's part map of a generated figure against the map it was made from.

The judge is a segmenter whose classes are the part ids: ``extract_label_maps`` with ``offset=0``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError
from oft.evaluation.class_pixels import count_class_pixels, mean_iou, pixel_accuracy
from oft.evaluation.diagrams import confusion_rows
from oft.evaluation.measure import Compared, Measurements, Pictures, beside_generated
from oft.evaluation.metric import Metric, MetricFamily
from oft.evaluation.segmentation import confusion_matrix, extract_label_maps

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Shaped, UInt8

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
    if confusion[BACKGROUND_ID + 1 :].sum() == 0:
        raise DataError("no pixel of the true part maps belongs to a part (ids 1-24); check the part maps")
    pixels = count_class_pixels(confusion)
    inside = confusion[BACKGROUND_ID + 1 :, BACKGROUND_ID + 1 :].sum()
    outside = confusion[BACKGROUND_ID, BACKGROUND_ID]
    return {
        "part_accuracy": float(part_accuracy(pixels)),
        "part_miou": float(part_miou(pixels)),
        "foreground_iou": float(inside / (confusion.sum() - outside)),
    }


def part_accuracy(pixels: Shaped[np.ndarray, "*sets 25 3"]) -> Float64[np.ndarray, "*sets"]:
    """Return the share of the parts' pixels that is given that very part; NaN where there is no part."""
    return pixel_accuracy(pixels[..., BACKGROUND_ID + 1 :, :])


def part_miou(pixels: Shaped[np.ndarray, "*sets 25 3"]) -> Float64[np.ndarray, "*sets"]:
    """Return the mean IoU over the parts present in the truth; NaN where there is no part."""
    return mean_iou(pixels[..., BACKGROUND_ID + 1 :, :])


def measure_parts(
    compared: Compared, parts: Pictures, judge: Judge, settings: Evaluation, measured: Measurements
) -> None:
    """Add the accuracy of body parts by the judge, and each picture's pixels by part."""
    for suffix, (pictures, sources) in compared.items():
        predicted = extract_label_maps(pictures, judge, settings.batch_size)
        truth = parts[sources]
        confusion = part_confusion_matrix(predicted, truth)
        measured.add(compute_part_accuracy(confusion), suffix)
        maps = zip(predicted, truth, strict=True)
        pixels = [count_class_pixels(part_confusion_matrix(*pair)) for pair in maps]
        measured.class_pixels[suffix] = beside_generated(compared, suffix, pixels)
        accuracies = [float(part_accuracy(counts)) for counts in pixels]
        measured.scores[f"part_accuracy{suffix}"] = beside_generated(compared, suffix, accuracies)
        if not suffix:
            measured.confusion = confusion_rows(confusion, list(PART_NAMES), settings.num_confusion_classes)


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
            judge="part_segmenter",
            pooled=part_accuracy,
        ),
        Metric(
            "part_miou",
            "Body-part mean IoU",
            "Overlap of found and given parts, averaged over the parts.",
            direction="higher",
            unit="share",
            judge="part_segmenter",
            pooled=part_miou,
        ),
        Metric(
            "foreground_iou",
            "Outline IoU",
            "Overlap of found and given figure, whatever the parts.",
            direction="higher",
            unit="share",
            judge="part_segmenter",
        ),
    ),
    measure=_measure,
    conditions=("densepose",),
    headline=("part_accuracy", "part_miou", "foreground_iou"),
)
