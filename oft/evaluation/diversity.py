"""Perceptual distance on a feature pyramid, and the diversity of generated pictures of one prompt.

The formula is that of LPIPS (Zhang et al. 2018, eq. 1) with every channel weight 1, on the features of the
extractor at hand. LPIPS itself is a published network with learned weights, so no figure here has its name:
figures compare runs with one extractor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oft.errors import DataError
from oft.evaluation.measure import Generated, Measurements, Pictures
from oft.evaluation.metric import Metric, MetricFamily

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

    from oft.evaluation.task import EvaluatedTask

NORM_FLOOR = 1e-10


def unit_channels(level: Float[np.ndarray, "n c height width"]) -> Float64[np.ndarray, "n c height width"]:
    """Return the features with each position's channel vector scaled to length 1 (zero stays zero)."""
    level = level.astype(np.float64)
    return level / (np.linalg.norm(level, axis=1, keepdims=True) + NORM_FLOOR)


def compute_distances(
    first: Sequence[Float[np.ndarray, "_ _ _ _"]], second: Sequence[Float[np.ndarray, "_ _ _ _"]]
) -> Float64[np.ndarray, " n"]:
    """Return the distances [N] of paired pictures; a pyramid is one [N, C, height, width] array per level.

    Squared differences of unit channel vectors, summed over channels, averaged over positions, summed over
    levels: 0 for equal pictures, at most 4 per level. One side may hold a single picture, compared with all
    of the other's.

    Raises:
        DataError: the pyramids have no level, or not the same ones.
    """
    shapes, other_shapes = ([list(level.shape[1:]) for level in pyramid] for pyramid in (first, second))
    if not first or shapes != other_shapes:
        raise DataError(
            f"pyramids must have the same levels, at least one, not {shapes} and {other_shapes}; "
            "extract both with one model at one resolution"
        )
    per_level = [
        ((unit_channels(a) - unit_channels(b)) ** 2).sum(axis=1).mean(axis=(1, 2))
        for a, b in zip(first, second, strict=True)
    ]
    return np.sum(per_level, axis=0)


def compute_diversity(
    pyramids: Mapping[str, Sequence[Float[np.ndarray, "_ _ _ _"]]],
) -> dict[str, float | int]:
    """Return ``diversity``: the mean over prompts of the mean distance of two pictures of one prompt.

    ``pyramids`` maps a prompt to the pyramid of its generated pictures. ``diversity_prompts`` counts the
    prompts that entered the mean, ``diversity_single`` those left out because they have fewer than two
    pictures.

    Raises:
        DataError: no prompt has two pictures, or the levels of a pyramid disagree.
    """
    means: list[float] = []
    for pyramid in pyramids.values():
        num_pictures = len(pyramid[0]) if pyramid else 0
        distances = [
            compute_distances([level[i : i + 1] for level in pyramid], [level[i + 1 :] for level in pyramid])
            for i in range(num_pictures - 1)
        ]
        if distances:
            means.append(float(np.concatenate(distances).mean()))
    if not means:
        raise DataError(
            f"diversity needs at least two pictures of one prompt; none of {len(pyramids)} prompts has them: "
            "raise the number of samples per condition"
        )
    return {
        "diversity": float(np.mean(means)),
        "diversity_prompts": len(means),
        "diversity_single": len(pyramids) - len(means),
    }


def measure_diversity(
    generated: Generated, pyramid: Callable[[Pictures], list[NDArray[np.float32]]], measured: Measurements
) -> None:
    """Add the diversity of the generated pictures; nothing where there is one of each prompt."""
    if len(np.unique(generated.sources)) == len(generated.sources):
        return
    levels = pyramid(generated.pictures)
    by_prompt = {
        str(source): [level[generated.sources == source] for level in levels]
        for source in np.unique(generated.sources)
    }
    measured.add({"diversity": compute_diversity(by_prompt)["diversity"]})


def _measure(task: EvaluatedTask, measured: Measurements) -> None:
    measure_diversity(task.generated, task.judges.pyramid, measured)


FAMILY = MetricFamily(
    metrics=(
        Metric(
            "diversity",
            "Diversity",
            "Mean distance between pictures of one prompt, layer by layer in a network's features: 0 means "
            "that they are all alike.",
            direction="higher",
            unit="distance",
            judge="extractor",
        ),
    ),
    measure=_measure,
    tasks=("subject", "style"),
)
