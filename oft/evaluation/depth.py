"""Depth: a judge's depth of generated pictures against the depth map they were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.evaluation.checks import check_pictures, check_same_shape
from oft.evaluation.measure import Compared, Measurements, Pictures, beside_generated
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Float64, UInt8

    from oft.evaluation.features import Judge
    from oft.evaluation.task import EvaluatedTask
    from oft.settings.evaluation import Evaluation


def extract_depth(
    pictures: UInt8[np.ndarray, "n height width 3"], judge: Judge, batch_size: int
) -> UInt8[np.ndarray, "n height width"]:
    """Return the judge's depth of each picture in grey levels, 255 its nearest point and 0 its farthest.

    The network's map is brought to the picture's size bilinearly, then stretched as conditioning images are.

    Args:
        judge: from `oft.evaluation.features.load_depth_judge`.

    Raises:
        DataError: ``pictures`` is not a uint8 RGB stack.
    """
    import torch

    from oft.conditions.depth import near_is_white
    from oft.evaluation.preprocessing import prepare_batches

    check_pictures(pictures)
    maps = []
    with torch.inference_mode():
        for batch in prepare_batches(pictures, judge.preprocessing, batch_size, judge.model.device):
            output = judge.model(pixel_values=batch)
            inverse_depth = output.logits if "logits" in output else output.predicted_depth[:, None]
            inverse_depth = torch.nn.functional.interpolate(
                inverse_depth, size=pictures.shape[1:3], mode="bilinear", align_corners=False
            )
            maps += [near_is_white(found)[..., 0] for found in inverse_depth[:, 0].cpu().numpy()]
    return np.stack(maps)


def score_depth(
    predicted: UInt8[np.ndarray, "n height width"], truth: UInt8[np.ndarray, "n height width"]
) -> Float64[np.ndarray, " n"]:
    """Return each picture's root mean squared error in grey levels, 0 to 255.

    As in ControlNet++ (Li et al. 2024, arXiv 2404.07987, eval/eval_depth.py) maps have 8 bits and the root is
    taken picture by picture. How its judge's map becomes grey levels is another protocol,
    `oft.evaluation.controlnetpp.depth`.

    Raises:
        DataError: shapes differ.
    """
    check_same_shape("predicted", predicted, "true depth maps", truth)
    difference = predicted.astype(np.float64) - truth
    return np.asarray(np.sqrt(np.square(difference).mean(axis=(1, 2))))


def measure_depth(
    compared: Compared, depth: Pictures, judge: Judge, settings: Evaluation, measured: Measurements
) -> None:
    """Add the error of the judge's depth against the given grey levels [n, h, w], and each picture's."""
    for suffix, (pictures, sources) in compared.items():
        error = score_depth(extract_depth(pictures, judge, settings.batch_size), depth[sources])
        measured.add({"depth_rmse": float(error.mean())}, suffix)
        measured.scores[f"depth_rmse{suffix}"] = beside_generated(compared, suffix, error.tolist())


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    measure_depth(task.compared, task.conditioning_images[..., 0], task.judges.depth, task.settings, measured)


FAMILY = MetricFamily(
    metrics=(
        Metric(
            "depth_rmse",
            "Depth error",
            "A judge network says how near everything in the generated picture is; the root of its mean "
            "squared distance from the given map, in grey levels from 0 (farthest) to 255 (nearest).",
            direction="lower",
            unit="grey levels",
            per_picture=True,
            judge="depth",
        ),
    ),
    measure=_measure,
    conditions=("depth",),
    headline=("depth_rmse",),
)
