"""What each adapter of a task adds over the base and over the hint encoder, and how settings compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.gains.scores import (
    REFERENCE_ARMS,
    Measured,
    PairedSeeds,
    compared_metrics,
    pair_seeds,
    shares_conditions,
)
from oft.adapters.registry import BASE_ALONE
from oft.errors import DataError
from oft.evaluation.intervals import (
    CONFIDENCE,
    NUM_RESAMPLES,
    Interval,
    SeedsFigure,
    mean_interval,
    resample_seeds,
)
from oft.evaluation.metric import Metric
from oft.report.gains import is_better, reference_of

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
    arms = _resample_arms(runs, paired, resampling)
    end = REFERENCE_ARMS[reference_of(runs.condition)]
    found: list[Estimate] = []

    def add(name: str, figure: SeedsFigure | None, note: str = "") -> None:
        interval, by_seed = None, {}
        if figure is not None:
            interval = figure.interval(resampling.level)
            by_seed = _by_seed(runs, figure)
        value, low, high = interval or (None, None, None)
        found.append(Estimate(runs.task, metric.name, name, value, low, high, by_seed, total, note))

    def add_ratio(above: str, below: str) -> None:
        ratio = arms[above].ratio_to(arms[below], resampling.level)
        note = "" if ratio else UNDIVIDED.format(below, _format(arms[below].interval(resampling.level)))
        add(f"{above} / {below}", ratio, note)

    def add_share(adapter: str, start: str) -> None:
        """Add the share of the distance from a start to the end, which must lie on the better side."""
        gain, distance = arms[adapter] - arms[start], arms[end] - arms[start]
        interval = distance.interval(resampling.level)
        share = gain.ratio_to(distance, resampling.level) if is_better(interval, metric) else None
        note = "" if share else NO_DISTANCE.format(f"{end} - {start}", _format(interval))
        add(f"({adapter} - {start}) / ({end} - {start})", share, note)

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


def _resample_arms(runs: TaskRuns, paired: PairedSeeds, resampling: Resampling) -> dict[str, SeedsFigure]:
    """Return every arm's score by its name; the base alone is `BASE`."""
    figures = resample_seeds(
        paired.figures,
        paired.num_conditions,
        np.random.default_rng(resampling.seed),
        shared_conditions=runs.shared_conditions,
        num_resamples=resampling.num_resamples,
    )
    return {BASE if name == BASE_ALONE else name: figure for name, figure in figures.items()}


def _by_seed(runs: TaskRuns, figure: SeedsFigure) -> dict[int, float]:
    return dict(zip(runs.seeds, figure.by_seed.tolist(), strict=True))


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
            interval = mean_interval(values, level)
            _, low, high = interval or (None, None, None)
            by_seed = dict(zip(runs.seeds, values.tolist(), strict=True))
            note = "" if interval else "one seed gives no interval"
            found.append(
                Estimate(
                    runs.task, "val_loss", f"{adapter}, magnitudes: {name}", float(values.mean()),
                    low, high, by_seed, 0, note,
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
    figures = _resample_arms(runs, paired, resampling)
    sign = 1 if metric.direction == "lower" else -1
    ranked = sorted(runs.arms, key=lambda name: sign * figures[name].value)
    best = figures[ranked[0]]
    rows = []
    for name in ranked:
        own, behind = figures[name], figures[name] - best
        intervals = (*own.interval(resampling.level), *behind.interval(resampling.level))
        value, low, high, difference, behind_low, behind_high = intervals
        by_seed = _by_seed(runs, own)
        rows.append(SettingScore(name, value, low, high, by_seed, difference, behind_low, behind_high))
    return metric.name, rows


def _format(interval: Interval) -> str:
    return f"[{interval.low:.3g}, {interval.high:.3g}]"
