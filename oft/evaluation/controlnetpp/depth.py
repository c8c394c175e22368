"""ControlNet++'s depth RMSE: a judge's depth of generated pictures against the maps they were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.evaluation.checks import check_pictures
from oft.evaluation.controlnetpp import is_enabled
from oft.evaluation.depth import score_depth
from oft.evaluation.measure import Compared, Measurements, Pictures, beside_generated
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from oft.evaluation.features import Judge
    from oft.evaluation.task import EvaluatedTask

NAME = "controlnetpp_depth_rmse"


def extract_scaled_depth(
    pictures: UInt8[np.ndarray, "n height width 3"], judge: Judge, batch_size: int
) -> UInt8[np.ndarray, "n height width"]:
    """Return the judge's inverse depth of each picture, 255 at its nearest point, 0 at infinity.

    eval/eval.py's scaling: the network's map is divided by its largest value, cut off to 8 bits, and only
    then brought to the picture's size, by Pillow, bilinearly. Unlike a conditioning image it does not begin
    at 0.

    Args:
        judge: from `oft.evaluation.features.load_depth_judge`; ControlNet++'s is Intel/dpt-large.

    Raises:
        DataError: ``pictures`` is not a uint8 RGB stack.
    """
    import torch
    from PIL import Image

    from oft.evaluation.preprocessing import prepare_batches

    check_pictures(pictures)
    height, width = pictures.shape[1:3]
    maps = []
    with torch.inference_mode():
        for batch in prepare_batches(pictures, judge.preprocessing, batch_size, judge.model.device):
            output = judge.model(pixel_values=batch)
            inverse_depth = output.logits[:, 0] if "logits" in output else output.predicted_depth
            nearest = inverse_depth.amax(dim=(1, 2), keepdim=True)
            shares = torch.where(nearest > 0, inverse_depth / nearest, 0).clamp(min=0)
            for levels in (shares * 255).to(torch.uint8).cpu().numpy():
                maps.append(Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR))
    return np.stack([np.asarray(levels) for levels in maps])


def measure_scaled_depth(
    compared: Compared, conditions: Pictures, judge: Judge, batch_size: int, measured: Measurements
) -> None:
    """Add the error of the judge's depth against the given grey levels [n, h, w], and each picture's.

    Given maps are stretched from their farthest (0) to their nearest point (255), as eval/eval.py stretches
    its labels; the root is taken picture by picture, then comes the mean (eval/eval_depth.py).
    """
    for suffix, (pictures, sources) in compared.items():
        error = score_depth(extract_scaled_depth(pictures, judge, batch_size), conditions[sources])
        measured.add({NAME: float(error.mean())}, suffix)
        measured.scores[f"{NAME}{suffix}"] = beside_generated(compared, suffix, error.tolist())


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    from oft.evaluation.features import load_depth_judge

    setting = task.settings.controlnetpp.depth
    measured.metrics["controlnetpp_judge"] = setting
    judge = load_depth_judge(setting, task.judges.device)
    conditions = task.conditioning_images[..., 0]
    measure_scaled_depth(task.compared, conditions, judge, task.settings.batch_size, measured)


FAMILY = MetricFamily(
    metrics=(
        Metric(
            NAME,
            "Depth error (ControlNet++)",
            "A network (DPT-Large) says how near everything in the generated picture is, as a share of the "
            "nearest; the root of its mean squared distance from the given map, in grey levels, 0 to 255.",
            direction="lower",
            unit="grey levels",
            per_picture=True,
        ),
    ),
    measure=_measure,
    conditions=("depth",),
    switch=is_enabled,
)
