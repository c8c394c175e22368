"""ControlNet++'s edge F1: kornia's Canny of generated pictures against the edges that they were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.evaluation.checks import check_same_shape
from oft.evaluation.controlnetpp import is_enabled
from oft.evaluation.measure import Compared, Measurements, Pictures, beside_generated
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, UInt8

    from oft.evaluation.task import EvaluatedTask

NAME = "controlnetpp_canny_f1"


def score_edges_together(
    found: UInt8[np.ndarray, "n height width"],
    truth: UInt8[np.ndarray, "n height width"],
    sources: Int64[np.ndarray, " n"],
) -> Float64[np.ndarray, " n"]:
    """Return for each picture F1 = 2TP/(2TP+FP+FN) of the pixels of all pictures of its condition together.

    eval/eval_edge.py counts the pixels of a condition's four pictures as one (torchmetrics' BinaryF1Score of
    the flattened stack). Non-zero pixels are edges; without an edge on either side the score is 0.

    Args:
        sources: which condition each picture is of.

    Raises:
        DataError: shapes differ.
    """
    check_same_shape("found", found, "given edge maps", truth)
    is_found, is_true = found != 0, truth != 0
    hits, edges = (
        np.bincount(sources, weights=counts.sum(axis=(1, 2)))
        for counts in (is_found & is_true, is_found.astype(np.int64) + is_true)
    )
    f1 = np.zeros(len(edges))
    np.divide(2 * hits, edges, out=f1, where=edges > 0)
    return np.asarray(f1[sources])


def measure_edges(compared: Compared, conditions: Pictures, measured: Measurements) -> None:
    """Add the F1 against the given edges [n, h, w], averaged over conditions, and every picture's."""
    from oft.conditions.canny_kornia import extract_canny_kornia

    for suffix, (pictures, sources) in compared.items():
        found = np.stack([extract_canny_kornia(picture)[..., 0] for picture in pictures])
        f1 = score_edges_together(found, conditions[sources], sources)
        _, firsts = np.unique(sources, return_index=True)
        measured.add({NAME: float(f1[firsts].mean())}, suffix)
        measured.scores[f"{NAME}{suffix}"] = beside_generated(compared, suffix, f1.tolist())


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    measure_edges(task.compared, task.conditioning_images[..., 0], measured)


FAMILY = MetricFamily(
    metrics=(
        Metric(
            NAME,
            "Edge F1 (ControlNet++)",
            "Edges are found again in the generated pictures by kornia's Canny detector and compared pixel "
            "by pixel with the edges given: 2TP / (2TP + FP + FN) of all pictures of a condition together, "
            "averaged over the conditions. 1 is perfect.",
            direction="higher",
            unit="share",
            per_picture=True,
        ),
    ),
    measure=_measure,
    conditions=("canny_kornia",),
    headline=(NAME,),
    switch=is_enabled,
)
