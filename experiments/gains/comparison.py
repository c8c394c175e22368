"""What each adapter of a task adds over the base and over the hint encoder, and how settings compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments.gains.scores import (
    REFERENCE_ARMS,
    Measured,
    PairedSeeds,
    compared_metrics,
    pair_seeds,
    shares_conditions,
)
from experiments.paired import MeanFigure, of_whole_runs, over_seeds
from oft.adapters.registry import BASE_ALONE
from oft.errors import DataError
from oft.evaluation.intervals import CONFIDENCE, NUM_RESAMPLES, Interval
from oft.evaluation.metric import Metric
from oft.report.gains import is_better, reference_of

if TYPE_CHECKING:
    from jaxtyping import Float64

MAGNITUDES = ("val_loss_before", "val_loss_after")
BASE = "the base"
UNDIVIDED = "no ratio: {} is not told apart from 0, its interval is {}"
NO_DISTANCE = "no share: {} is no improvement beyond chance, its interval is {}"
TOO_FEW = "fewer than two conditions have this score in every row"


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: the confidence level, and number and seed of the resamples."""

    level: float = CONFIDENCE
    num_resamples: int = NUM_RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class TaskRuns:
    """The runs of one task.

    Attributes:
        task: its name.
        condition: its condition, ``subject`` for a subject.
        source: ``acquire.source`` of its data set.
        seeds: the seeds, in the order of the runs.
        arms: for each adapter (``none``: the base alone) its runs, one a seed.
        hint: the adapter that is the hint encoder alone; None where there is none.
    """

    task: str
    condition: str
    source: str
    seeds: tuple[int, ...]
    arms: Mapping[str, Sequence[Measured]]
    hint: str | None = None

    @property
    def shared_conditions(self) -> bool:
        """Whether the seeds have the same conditions."""
        return shares_conditions(self.condition, self.source)


class Estimate(NamedTuple):
    """One number of a table.

    Attributes:
        quantity: what it is, such as ``oft - the base``.
        value: the mean over seeds (of a ratio: the ratio of the means); None where there is none.
        low, high: the ends of its interval; None where there is none.
        by_seed: what it is for each seed.
        num_conditions: how many conditions it is over; those that seeds share count once.
        note: why something is missing.
    """

    task: str
    metric: str
    quantity: str
    value: float | None
    low: float | None
    high: float | None
    by_seed: Mapping[int, float]
    num_conditions: int
    note: str = ""


def compare_task(runs: TaskRuns, resampling: Resampling) -> list[Estimate]:
    """Return every estimate of a task: the arms, then differences and ratios of each adapter.

    Raises:
        DataError: arms were measured on other conditions than others.
    """
    first = next(iter(runs.arms.values()))[0]
    estimates = [
        estimate
        for metric in compared_metrics(runs.condition, first)
        for estimate in _compare_metric(runs, metric, resampling)
    ]
    return [*estimates, *magnitude_gains(runs, resampling.level)]


def _compare_metric(runs: TaskRuns, metric: Metric, resampling: Resampling) -> list[Estimate]:
    paired = pair_seeds(metric, runs.arms, shared_conditions=runs.shared_conditions)
    total = paired.num_conditions[0] if runs.shared_conditions else sum(paired.num_conditions)
    if min(paired.num_conditions) < 2:
        return [Estimate(runs.task, metric.name, "any", None, None, None, {}, total, TOO_FEW)]
    arms = _figures_of_arms(runs, paired, resampling)
    end = REFERENCE_ARMS[reference_of(runs.condition)]
    found: list[Estimate] = []

    def add(name: str, figure: MeanFigure, by_seed: Float64[np.ndarray, " seeds"] | None = None) -> None:
        interval = _interval(figure, resampling.level)
        of_seeds = _by_seed(runs, figure.by_seed if by_seed is None else by_seed)
        found.append(Estimate(runs.task, metric.name, name, *interval, of_seeds, total))

    def add_quotient(name: str, above: MeanFigure, below: MeanFigure) -> None:
        ratio = above.ratio_to(below, resampling.level)
        assert ratio is not None, "its denominator is told apart from 0"
        add(name, ratio, _quotients(above.by_seed, below.by_seed))

    def leave_out(name: str, note: str) -> None:
        found.append(Estimate(runs.task, metric.name, name, None, None, None, {}, total, note))

    def add_ratio(above: str, below: str) -> None:
        name, interval = f"{above} / {below}", _interval(arms[below], resampling.level)
        if interval.excludes_zero:
            add_quotient(name, arms[above], arms[below])
        else:
            leave_out(name, UNDIVIDED.format(below, _format(interval)))

    def add_share(adapter: str, start: str) -> None:
        """Add the share of the distance from a start to the end, which must lie on the better side."""
        name, distance = f"({adapter} - {start}) / ({end} - {start})", arms[end] - arms[start]
        interval = _interval(distance, resampling.level)
        if is_better(interval, metric):
            add_quotient(name, arms[adapter] - arms[start], distance)
        else:
            leave_out(name, NO_DISTANCE.format(f"{end} - {start}", _format(interval)))

    for name, figure in arms.items():
        add(name, figure)
    starts = [name for name in (BASE, runs.hint) if name is not None and name in arms]
    for adapter in arms:
        if adapter == BASE or adapter in REFERENCE_ARMS.values():
            continue
        for start in starts:
            if adapter == start:
                continue
            add(f"{adapter} - {start}", arms[adapter] - arms[start])
            if end in arms:
                add_share(adapter, start)
        for other in (BASE, end):
            if other in arms:
                add_ratio(adapter, other)
    return found


def _figures_of_arms(runs: TaskRuns, paired: PairedSeeds, resampling: Resampling) -> dict[str, MeanFigure]:
    """Return every arm's score by its name; the base alone is `BASE`."""
    figures = over_seeds(
        paired.figures,
        paired.num_conditions,
        shared_conditions=runs.shared_conditions,
        num_resamples=resampling.num_resamples,
        seed=resampling.seed,
    )
    return {BASE if name == BASE_ALONE else name: figure for name, figure in figures.items()}


def _interval(figure: MeanFigure, level: float) -> Interval:
    """Return the interval of a figure over pictures, which always has one."""
    interval = figure.interval(level)
    assert interval is not None, "it is over two conditions or more"
    return interval


def _quotients(
    above: Float64[np.ndarray, " seeds"], below: Float64[np.ndarray, " seeds"]
) -> Float64[np.ndarray, " seeds"]:
    """Return the ratio of each seed, NaN where its own denominator is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def _by_seed(runs: TaskRuns, values: Float64[np.ndarray, " seeds"]) -> dict[int, float]:
    return dict(zip(runs.seeds, values.tolist(), strict=True))


def magnitude_gains(runs: TaskRuns, level: float) -> list[Estimate]:
    """Return what fitting magnitudes took off the validation loss of each adapter that has magnitudes.

    A run has one loss, so the interval is Student's over seeds.
    """
    found = []
    for adapter, measured in runs.arms.items():
        losses = [[one.metrics.get(name) for name in MAGNITUDES] for one in measured]
        if any(None in pair or pair[0] == pair[1] for pair in losses):
            continue
        before, after = np.array(losses, dtype=np.float64).T
        rows = {"before": before, "after": after, "before - after": before - after}
        for name, values in rows.items():
            figure = of_whole_runs(values)
            interval = figure.interval(level)
            _, low, high = interval or (None, None, None)
            note = "" if interval else "one seed gives no interval"
            found.append(
                Estimate(
                    runs.task, "val_loss", f"{adapter}, magnitudes: {name}", figure.value,
                    low, high, _by_seed(runs, values), 0, note,
                )
            )  # fmt: skip
    return found


class SettingScore(NamedTuple):
    """One setting of a sweep by a task's headline metric.

    Attributes:
        value, low, high: its score with its interval.
        behind: the paired difference to the best setting with its interval; 0 for the best itself.
    """

    setting: str
    value: float
    low: float
    high: float
    by_seed: Mapping[int, float]
    behind: float
    behind_low: float
    behind_high: float


def rank_settings(runs: TaskRuns, resampling: Resampling) -> tuple[str, list[SettingScore]]:
    """Return a task's headline metric and its settings, the best first; the arms of ``runs`` are settings.

    Raises:
        DataError: settings were measured on other conditions than others, or none has a score of pictures.
    """
    metric = next(iter(compared_metrics(runs.condition, next(iter(runs.arms.values()))[0])), None)
    paired = metric and pair_seeds(metric, runs.arms, shared_conditions=runs.shared_conditions)
    if not metric or not paired or min(paired.num_conditions) < 2:
        raise DataError(
            f"{runs.task}: {TOO_FEW}, so its settings cannot be ranked; give its data set more num_val_images"
        )
    figures = _figures_of_arms(runs, paired, resampling)
    sign = 1 if metric.direction == "lower" else -1
    ranked = sorted(runs.arms, key=lambda name: sign * figures[name].value)
    best = figures[ranked[0]]
    rows = []
    for name in ranked:
        own, behind = figures[name], figures[name] - best
        intervals = (_interval(figure, resampling.level) for figure in (own, behind))
        (value, low, high), (difference, behind_low, behind_high) = intervals
        by_seed = _by_seed(runs, own.by_seed)
        rows.append(SettingScore(name, value, low, high, by_seed, difference, behind_low, behind_high))
    return metric.name, rows


def _format(interval: Interval) -> str:
    return f"[{interval.low:.3g}, {interval.high:.3g}]"
