"""Canny consistency: edges of generated pictures against the edges of the real ones they were made for.

The protocol of the OFT release: cv2.Canny 100/200 on both sides, scores per picture, then their mean.
ControlNet++'s protocol (other thresholds, four generations a prompt) is another metric and must not share
these names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError
from oft.evaluation.checks import check_same_shape
from oft.evaluation.measure import Compared, Measurements, Pictures
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Float64, Shaped

    from oft.evaluation.task import EvaluatedTask


def score_edges(
    real: Shaped[np.ndarray, "n height width"], generated: Shaped[np.ndarray, "n height width"]
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return each picture's IoU = TP/(TP+FP+FN) and F1 = 2TP/(2TP+FP+FN); non-zero pixels are edges.

    Where neither map has an edge both are 0/0: NaN.

    Raises:
        DataError: shapes differ or are not [N, height, width].
    """
    check_same_shape("real", real, "generated edge maps", generated)
    if real.ndim != 3:
        raise DataError(
            f"edge maps must be [N, height, width], not {list(real.shape)}; give one channel per picture"
        )
    real_edges, generated_edges = real != 0, generated != 0
    hits = (real_edges & generated_edges).sum(axis=(1, 2)).astype(np.float64)
    union = (real_edges | generated_edges).sum(axis=(1, 2)).astype(np.float64)
    iou, f1 = np.full(len(real), np.nan), np.full(len(real), np.nan)
    np.divide(hits, union, out=iou, where=union > 0)
    np.divide(2 * hits, hits + union, out=f1, where=union > 0)
    return iou, f1


def compute_canny(
    real: Shaped[np.ndarray, "n height width"], generated: Shaped[np.ndarray, "n height width"]
) -> dict[str, float | int]:
    """Return the means ``canny_iou`` and ``canny_f1`` (0..1), and ``canny_empty``.

    ``canny_empty`` counts the pictures without an edge on either side; they are left out of the means.

    Raises:
        DataError: shapes differ, or no picture has an edge on either side.
    """
    iou, f1 = score_edges(real, generated)
    counted = ~np.isnan(iou)
    if not counted.any():
        raise DataError(
            f"none of {len(iou)} pairs of edge maps has an edge; check the pictures and the Canny thresholds"
        )
    return {
        "canny_iou": float(iou[counted].mean()),
        "canny_f1": float(f1[counted].mean()),
        "canny_empty": int((~counted).sum()),
    }


def measure_edges(
    compared: Compared, edges: Callable[[Pictures], Pictures], real: Pictures, measured: Measurements
) -> None:
    """Add IoU and F1 of the edges (reference protocol), and each picture's F1, of targets too.

    Args:
        edges: the run's own extractor on a stack of pictures.
    """
    truth = edges(real)
    for suffix, (pictures, sources) in compared.items():
        found = edges(pictures)
        measured.add(compute_canny(truth[sources], found), suffix)
        f1 = score_edges(truth[sources], found)[1].tolist()
        if suffix:
            measured.target_scores[f"canny_f1{suffix}"] = f1
        else:
            measured.scores["canny_f1"] = f1


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    from oft.conditions.canny import extract_canny

    thresholds = task.conditions.canny

    def edges(pictures: Pictures) -> Pictures:
        return np.stack(
            [
                extract_canny(picture, thresholds.low_threshold, thresholds.high_threshold)[..., 0]
                for picture in pictures
            ]
        )

    measure_edges(task.compared, edges, task.real, measured)


FAMILY = MetricFamily(
    metrics=(
        Metric(
            "canny_f1",
            "Edge F1",
            "Edges are found again in the generated picture, with the same detector and thresholds, and "
            "compared pixel by pixel with the edges given: 2TP / (2TP + FP + FN), averaged over the "
            "pictures. 1 is perfect.",
            direction="higher",
            unit="share",
            per_picture=True,
        ),
        Metric(
            "canny_iou",
            "Edge IoU",
            "The same edges compared as TP / (TP + FP + FN), averaged over the pictures.",
            direction="higher",
            unit="share",
        ),
        Metric(
            "canny_empty",
            "Pictures without edges",
            "Pairs with no edge on either side; the means leave them out.",
        ),
    ),
    measure=_measure,
    conditions=("canny",),
    headline=("canny_f1", "canny_iou"),
)
