"""What fitting magnitudes does to the pictures: the scores of those drawn before it, and what it adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from oft.evaluation.intervals import average_by_condition, bootstrap_interval, mean_of
from oft.evaluation.measure import Measurements
from oft.evaluation.metric import ADDED_BY_MAGNITUDES, BEFORE_MAGNITUDES

if TYPE_CHECKING:
    from oft.evaluation.measure import Pictures
    from oft.evaluation.task import EvaluatedTask


def measure_before_magnitudes(
    task: EvaluatedTask,
    fitted: Measurements,
    pictures: Pictures,
    measure: Callable[[EvaluatedTask], Measurements],
    names: Sequence[str],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the scores before magnitudes were fitted, and what those add where every picture has the score.

    Args:
        task: with the pictures that the fitted adapter drew.
        fitted: what was measured on them.
        pictures: what the same requests gave before, uint8 [m, h, w, 3].
        measure: takes all metrics of a task.
        names: the metrics that say how well pictures turned out.

    Returns:
        ``<metric>_before_magnitudes``; ``<metric>_added_by_magnitudes``, below 0 where the score fell, with
        its 95 % interval over conditions or prompts.
    """
    before = measure(replace(task, generated=replace(task.generated, pictures=pictures)))
    found: dict[str, float] = {}
    for name in names:
        if name not in before.metrics or name not in fitted.metrics:
            continue
        found[f"{name}{BEFORE_MAGNITUDES}"] = before.metrics[name]
        if name in before.scores:
            added = np.subtract(fitted.scores[name], before.scores[name])
            by_picture = zip(task.generated.requests, added, strict=True)
            _, (means,) = average_by_condition(
                [{key: value for key, value in by_picture if np.isfinite(value)}]
            )
            if len(means) > 1:
                interval = bootstrap_interval(mean_of(means), len(means), rng)
                found |= interval.as_metrics(f"{name}{ADDED_BY_MAGNITUDES}")
    return found
