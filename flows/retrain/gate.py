"""The gate: is a candidate better than the promoted model on the same pictures, beyond chance?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oft.errors import UserError
from oft.evaluation.intervals import Picture, average_by_condition, bootstrap_interval, mean_of

if TYPE_CHECKING:
    from oft.settings.evaluation import Gate, GateMetric

ImageScores = Mapping[str, Any]
"""A picture of ``per_image.json``: its key (of its condition or prompt), its index, and its scores."""
ScoreRows = Sequence[ImageScores]

Verdict = Literal["gain", "even", "loss not excluded"]


class Pairs(NamedTuple):
    """One score of two models on the pictures they share, those of one condition averaged."""

    promoted: NDArray[np.float64]
    candidate: NDArray[np.float64]
    num_pictures: int
    num_left_out: int


class ScoreComparison(NamedTuple):
    """One score of both models: means, mean difference (candidate less promoted), its interval, a verdict."""

    task: str
    metric: str
    promoted: float
    candidate: float
    difference: float
    low: float
    high: float
    num_conditions: int
    num_pictures: int
    num_left_out: int
    verdict: Verdict


class Judgement(NamedTuple):
    """Whether a candidate passes, why, and every comparison; ``level`` is that of each interval."""

    passes: bool
    reason: str
    level: float
    comparisons: tuple[ScoreComparison, ...]


def judge(scores: Mapping[str, tuple[ScoreRows, ScoreRows]], gate: Gate) -> Judgement:
    """Judge a candidate.

    Args:
        scores: for each task the rows of the promoted model's pictures and of the candidate's.

    Returns:
        It passes if at least one score gains and no score can have lost more than allowed. All intervals hold
        at once with ``gate.confidence`` (Bonferroni), so a gate over many scores promotes no noise.

    Raises:
        UserError: a task has none of the gate's scores, or too few pictures that both have.
    """
    pairs = {
        (task, metric): pair_scores(task, metric, promoted, candidate, gate.min_conditions)
        for task, (promoted, candidate) in scores.items()
        for metric in _metrics_of(task, promoted, candidate, gate)
    }
    level = 1 - (1 - gate.confidence) / len(pairs)
    comparisons = tuple(
        compare(task, metric, found, gate.metrics[metric], level, gate.num_resamples, gate.seed)
        for (task, metric), found in pairs.items()
    )
    passes, reason = decide(comparisons)
    return Judgement(passes, reason, level, comparisons)


def pair_scores(
    task: str,
    metric: str,
    promoted: ScoreRows,
    candidate: ScoreRows,
    min_conditions: int,
) -> Pairs:
    """Return a score of both models on the pictures (key and index) that both have it for.

    Raises:
        UserError: they share fewer than ``min_conditions`` conditions.
    """
    before, after = _by_picture(promoted, metric), _by_picture(candidate, metric)
    keys, (of_promoted, of_candidate) = average_by_condition([before, after])
    if len(keys) < min_conditions:
        raise UserError(
            f"gate: {metric} of {task} can be compared over {len(keys)} conditions, and "
            f"gate.min_conditions asks for {min_conditions}; give the task more pictures for validation, or "
            "lower the bound in params.yaml"
        )
    num_shared = len(before.keys() & after.keys())
    num_seen = len({_picture(row) for row in (*promoted, *candidate)})
    return Pairs(of_promoted, of_candidate, num_shared, num_seen - num_shared)


def compare(
    task: str, metric: str, pairs: Pairs, rule: GateMetric, level: float, num_resamples: int, seed: int
) -> ScoreComparison:
    """Compare one score of both models; ``rule`` sets the least gain and the largest loss."""
    differences = pairs.candidate - pairs.promoted
    difference, low, high = bootstrap_interval(
        mean_of(differences),
        len(differences),
        np.random.default_rng(seed),
        level=level,
        num_resamples=num_resamples,
    )
    least_gain = low if rule.direction == "higher" else -high
    verdict: Verdict = "even"
    if rule.max_loss is not None and least_gain < -rule.max_loss:
        verdict = "loss not excluded"
    elif rule.min_gain is not None and least_gain > rule.min_gain:
        verdict = "gain"
    return ScoreComparison(
        task,
        metric,
        float(pairs.promoted.mean()),
        float(pairs.candidate.mean()),
        difference,
        low,
        high,
        len(differences),
        pairs.num_pictures,
        pairs.num_left_out,
        verdict,
    )


def decide(comparisons: Sequence[ScoreComparison]) -> tuple[bool, str]:
    """Return whether a candidate passes, and why in one sentence."""
    losses = [f"{row.metric} of {row.task}" for row in comparisons if row.verdict == "loss not excluded"]
    gains = [f"{row.metric} of {row.task}" for row in comparisons if row.verdict == "gain"]
    if losses:
        return False, f"a loss beyond gate.max_loss is not excluded: {', '.join(losses)}"
    if not gains:
        return False, "no score gains more than gate.min_gain beyond chance"
    return True, f"gains: {', '.join(gains)}; of no score a loss beyond gate.max_loss is possible"


def _metrics_of(task: str, promoted: ScoreRows, candidate: ScoreRows, gate: Gate) -> list[str]:
    present = {name for row in promoted for name in row} & {name for row in candidate for name in row}
    metrics = [metric for metric in gate.metrics if metric in present]
    if not metrics:
        raise UserError(
            f"gate: {task} has none of the scores in gate.metrics ({', '.join(gate.metrics)}); add one that "
            "it has, or leave the task out of gate.tasks"
        )
    return metrics


def _by_picture(rows: ScoreRows, metric: str) -> dict[Picture, float]:
    return {_picture(row): float(row[metric]) for row in rows if row.get(metric) is not None}


def _picture(row: ImageScores) -> Picture:
    return str(row["key"]), int(row["index"])
