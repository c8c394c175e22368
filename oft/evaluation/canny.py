"""Canny consistency: edges of generated pictures against the edges of the real ones they were made for.

The protocol of the OFT release: cv2.Canny 100/200 on both sides, scores per picture, then their mean.
ControlNet++'s protocol (other thresholds, four generations a prompt) is another metric and must not share
these names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError
from oft.evaluation.checks import check_same_shape

if TYPE_CHECKING:
    from jaxtyping import Float64, Shaped


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
