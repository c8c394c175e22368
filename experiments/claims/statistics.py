"""Paired intervals over conditions and seeds, made of the table alone.

Intervals of one adapter are percentiles of the bootstrap at two levels (`oft.evaluation.intervals`). Where a
claim rests on several comparisons their intervals hold at once: each is ``value ± c se``, with c the quantile
of the largest ``|resampled - value| / se`` over all of them (the sup-t band; Montiel Olea and Plagborg-Møller
2019, Simultaneous confidence bands, Journal of Applied Econometrics 34).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from experiments.claims.findings import Estimate
from experiments.claims.table import Run, measured_of, runs_in
from experiments.gains.scores import Measured, pair_seeds, shares_conditions
from oft.evaluation.intervals import CONFIDENCE, Interval, SeedsFigure, mean_interval, resample_seeds
from oft.evaluation.metric import Metric
from oft.evaluation.registry import find_metric, headline_metrics

if TYPE_CHECKING:
    import pandas as pd

    from oft.params import Params

NUM_RESAMPLES = 9999


@dataclass(frozen=True)
class Arm:
    """One adapter under one setting."""

    adapter: str
    setting: str = ""


@dataclass(frozen=True)
class Paired:
    """A metric of several arms, on the same draws of seeds and conditions.

    Attributes:
        figures: by arm; references (`REFERENCE_ARMS`) by their names beside them.
        seeds: the seeds that all arms have.
        num_conditions: conditions, those that seeds share counted once.
    """

    metric: Metric
    figures: Mapping[Arm | str, SeedsFigure]
    seeds: tuple[int, ...]
    num_conditions: int


class Results:
    """The runs of a table, and figures of them.

    Args:
        table: see `experiments.claims.table`.
        params: the profile's settings, for what tasks are.
    """

    def __init__(self, table: pd.DataFrame, params: Params) -> None:
        """See the class."""
        self.params = params
        self._tables = runs_in(table)
        self._measured: dict[Run, Measured] = {}
        self._paired: dict[tuple[str, str, tuple[Arm, ...]], Paired | None] = {}

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """All runs."""
        return tuple(self._tables)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all runs."""
        return tuple(sorted({run.seed for run in self.runs}))

    def measured(self, run: Run) -> Measured:
        """Return what was measured of a run."""
        if run not in self._measured:
            self._measured[run] = measured_of(self._tables[run])
        return self._measured[run]

    def arms(self, task: str) -> list[Arm]:
        """Return the arms that a task has runs of."""
        return list(dict.fromkeys(Arm(run.adapter, run.setting) for run in self.runs if run.task == task))

    def seeds_of(self, task: str, arms: Iterable[Arm]) -> tuple[int, ...]:
        """Return the seeds under which a task has runs of all arms."""
        wanted = [(arm.adapter, arm.setting) for arm in arms]
        known = set(self.runs)
        return tuple(seed for seed in self.seeds if all(Run(task, *arm, seed) in known for arm in wanted))

    def headline(self, task: str) -> Metric | None:
        """Return the metric that says whether a task was learned, None where nothing was measured."""
        found = [self.measured(run) for run in self.runs if run.task == task]
        for name in headline_metrics(self.params.condition_of(task)):
            if any(name in one.metrics for one in found):
                return find_metric(name)
        return None

    def paired(self, task: str, metric: Metric, arms: Sequence[Arm]) -> Paired | None:
        """Return a metric of arms on the same draws; None where they share no seed or fewer than two scores.

        Raises:
            DataError: arms of one seed were measured on other conditions than others.
        """
        key = task, metric.name, tuple(arms)
        if key not in self._paired:
            self._paired[key] = self._pair(task, metric, arms)
        return self._paired[key]

    def _pair(self, task: str, metric: Metric, arms: Sequence[Arm]) -> Paired | None:
        seeds = self.seeds_of(task, arms)
        if not seeds or not arms:
            return None
        names = {_name(arm): arm for arm in arms}
        measured = {
            name: [self.measured(Run(task, arm.adapter, arm.setting, seed)) for seed in seeds]
            for name, arm in names.items()
        }
        condition = self.params.condition_of(task)
        source = self.params.datasets[self.params.all_tasks[task].dataset].acquire.source
        shared = shares_conditions(condition, source)
        found = pair_seeds(metric, measured, shared_conditions=shared)
        missing = [name for name in names if any(name not in figures for figures in found.figures)]
        if missing or min(found.num_conditions) < 2:
            return None
        rng = np.random.default_rng(0)
        figures = resample_seeds(
            found.figures, found.num_conditions, rng, shared_conditions=shared, num_resamples=NUM_RESAMPLES
        )
        total = found.num_conditions[0] if shared else sum(found.num_conditions)
        by_arm = {names.get(name, name): figure for name, figure in figures.items()}
        return Paired(metric, by_arm, seeds, total)

    def number(self, task: str, arm: Arm, name: str, seed: int) -> float | None:
        """Return a number that a run has of all its pictures."""
        run = Run(task, arm.adapter, arm.setting, seed)
        return self.measured(run).metrics.get(name) if run in self._tables else None

    def over_seeds(self, task: str, arm: Arm, name: str) -> list[float]:
        """Return such a number of every seed that has it."""
        found = (self.number(task, arm, name, seed) for seed in self.seeds)
        return [value for value in found if value is not None]


def _name(arm: Arm) -> str:
    return f"{arm.adapter}/{arm.setting}"


def estimate_over_seeds(values: Sequence[float], level: float = CONFIDENCE) -> Estimate:
    """Return the mean of numbers that runs have one of each, with Student's interval where there are two."""
    interval = interval_over_seeds(values, level)
    return Estimate(sum(values) / len(values), *(interval[1:] if interval else ()))


def interval_over_seeds(values: Sequence[float], level: float = CONFIDENCE) -> Interval | None:
    """Return Student's interval of numbers that runs have one of each; None for fewer than two."""
    return mean_interval(np.array(values, dtype=np.float64), level)


def simultaneous(figures: Sequence[SeedsFigure], level: float = CONFIDENCE) -> list[Interval]:
    """Return intervals that all hold at once with probability ``level``: the sup-t band.

    Figures of one task stand on the same draws, those of others on draws of their own, as they are
    independent. A figure that never varies is a point.
    """
    if not figures:
        return []
    errors = np.array([figure.resampled.std() for figure in figures])
    varying = errors > 0
    width = np.zeros(len(figures))
    if varying.any():
        deviations = np.array([np.abs(figure.resampled - figure.value) for figure in figures])
        largest = (deviations[varying] / errors[varying, None]).max(axis=0)
        width = np.quantile(largest, level) * errors
    return [
        Interval(figure.value, figure.value - half, figure.value + half)
        for figure, half in zip(figures, width.tolist(), strict=True)
    ]
