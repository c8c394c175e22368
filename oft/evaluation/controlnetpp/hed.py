"""ControlNet++'s HED SSIM: soft edges of generated pictures against those that they were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError
from oft.evaluation.checks import check_same_shape
from oft.evaluation.controlnetpp import is_enabled
from oft.evaluation.measure import Compared, Measurements, Pictures, beside_generated
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Float64, UInt8

    from oft.conditions.condition import BatchExtractor
    from oft.evaluation.task import EvaluatedTask

NAME = "controlnetpp_hed_ssim"
MIN_SIDE_PX = 176
"""Of the smallest of the five scales a window of 11 pixels must find its place in: torchmetrics' rule."""


def score_similarity(
    found: UInt8[np.ndarray, "n height width"], truth: UInt8[np.ndarray, "n height width"], batch_size: int
) -> Float64[np.ndarray, " n"]:
    """Return each picture's multi-scale structural similarity, at most 1.

    What the paper's table calls SSIM is MS-SSIM (Wang et al. 2003) in eval/eval_edge.py: torchmetrics'
    ``MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0)`` of grey levels divided by 255.

    Raises:
        DataError: shapes differ, or pictures are too small for five scales.
    """
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    check_same_shape("found", found, "given soft edges", truth)
    if min(found.shape[1:]) < MIN_SIDE_PX:
        raise DataError(
            f"{NAME} looks at five scales and needs pictures of {MIN_SIDE_PX} px or more, not "
            f"{list(found.shape[1:])}; raise resolution_px or set evaluate.controlnetpp.enabled: false"
        )
    scores = []
    for start in range(0, len(found), batch_size):
        first, second = (
            torch.tensor(maps[start : start + batch_size, None]).float() / 255 for maps in (found, truth)
        )
        similarity = multiscale_structural_similarity_index_measure(
            first, second, data_range=1.0, reduction="none"
        )
        scores.append(similarity.double().reshape(-1).numpy())
    return np.concatenate(scores)


def measure_soft_edges(
    compared: Compared,
    conditions: Pictures,
    extract: BatchExtractor,
    batch_size: int,
    measured: Measurements,
) -> None:
    """Add the similarity of the soft edges to the given ones [n, h, w], and each picture's.

    Args:
        extract: what the conditions were made with.
    """
    for suffix, (pictures, sources) in compared.items():
        found = np.stack([edges[..., 0] for edges in extract(list(pictures))])
        similarity = score_similarity(found, conditions[sources], batch_size)
        measured.add({NAME: float(similarity.mean())}, suffix)
        measured.scores[f"{NAME}{suffix}"] = beside_generated(compared, suffix, similarity.tolist())


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    from oft.conditions.hed import load_hed

    settings = task.conditions.hed
    measured.metrics["controlnetpp_judge"] = settings.model
    extract = load_hed(settings.model_dump(), str(task.judges.device))
    conditions = task.conditioning_images[..., 0]
    measure_soft_edges(task.compared, conditions, extract, task.settings.batch_size, measured)


FAMILY = MetricFamily(
    metrics=(
        Metric(
            NAME,
            "Soft-edge similarity (ControlNet++)",
            "A network (HED) finds the soft edges of the generated picture; how alike they are to those "
            "given is their structural similarity over five scales (MS-SSIM). 1 is perfect.",
            direction="higher",
            unit="share",
            per_picture=True,
        ),
    ),
    measure=_measure,
    conditions=("hed",),
    headline=(NAME,),
    switch=is_enabled,
)
