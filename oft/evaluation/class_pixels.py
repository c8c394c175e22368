"""Pixels counted by class: all that the scores of label maps are made of.

``pixels[..., c, :]`` are the pixels of class c that were found, that are truly there, and that were predicted
(TP, TP + FN, TP + FP). Counts of pictures add up, so a score over any set of pictures, a bootstrap's resample
too, follows from the counts of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Shaped


def count_class_pixels(confusion: Int64[np.ndarray, "c c"]) -> Int64[np.ndarray, "c 3"]:
    """Return found, true and predicted pixels of each class of a confusion matrix, row = true class."""
    counts: Int64[np.ndarray, "c 3"] = np.stack(
        [np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)], axis=-1
    )
    return counts


def class_iou(pixels: Shaped[np.ndarray, "*sets c 3"]) -> Float64[np.ndarray, "*sets c"]:
    """Return TP / (TP + FP + FN) of each class, NaN where the class is absent in the truth."""
    hits, actual, predicted = np.moveaxis(pixels, -1, 0)
    return _divide(hits, actual + predicted - hits, where=actual > 0)


def mean_iou(pixels: Shaped[np.ndarray, "*sets c 3"]) -> Float64[np.ndarray, "*sets"]:
    """Return the mean IoU over the classes present in the truth; NaN where there is none."""
    return _mean_of_present(class_iou(pixels))


def mean_iou_of_occurring(pixels: Shaped[np.ndarray, "*sets c 3"]) -> Float64[np.ndarray, "*sets"]:
    """Return the mean IoU over the classes in the truth or the prediction; NaN where there is none.

    mmsegmentation's mean (IoUMetric), under which a class that is only predicted counts as 0. It is
    `mean_iou` where the truth has every class, as all of ADE20K's validation set has.
    """
    hits, actual, predicted = np.moveaxis(pixels, -1, 0)
    union = actual + predicted - hits
    return _mean_of_present(_divide(hits, union, where=union > 0))


def mean_class_accuracy(pixels: Shaped[np.ndarray, "*sets c 3"]) -> Float64[np.ndarray, "*sets"]:
    """Return the mean over the classes present in the truth of the share of their pixels found."""
    hits, actual, _ = np.moveaxis(pixels, -1, 0)
    return _mean_of_present(_divide(hits, actual, where=actual > 0))


def pixel_accuracy(pixels: Shaped[np.ndarray, "*sets c 3"]) -> Float64[np.ndarray, "*sets"]:
    """Return the share of all true pixels that were found; NaN where there are none."""
    hits, actual, _ = np.moveaxis(pixels.sum(axis=-2), -1, 0)
    return _divide(hits, actual, where=actual > 0)


def to_json(pixels: Int64[np.ndarray, "c 3"]) -> dict[str, list[int]]:
    """Return the counts of the classes that occur, by id."""
    return {str(index): pixels[index].tolist() for index in np.flatnonzero(pixels.any(axis=-1))}


def _divide(numerator: Any, denominator: Any, *, where: Any) -> Any:
    quotient = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=where)
    return quotient


def _mean_of_present(values: Float64[np.ndarray, "*sets c"]) -> Float64[np.ndarray, "*sets"]:
    present = ~np.isnan(values)
    num_present = present.sum(axis=-1)
    return np.asarray(_divide(np.where(present, values, 0).sum(axis=-1), num_present, where=num_present > 0))
