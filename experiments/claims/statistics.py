"""Figures of arms over conditions and seeds, made of the table alone (intervals: `experiments.paired`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from experiments.claims.findings import Estimate
from experiments.claims.table import Run, measured_of, runs_in
from experiments.gains.scores import Measured, pair_seeds, shares_conditions
from experiments.paired import MeanFigure, of_whole_runs, over_seeds
from oft.evaluation.metric import Metric
from oft.evaluation.registry import find_metric, headline_metrics

if TYPE_CHECKING:
    import pandas as pd

    from oft.params import Params


@dataclass(frozen=True)
class Arm:
    """One adapter under one setting."""

    adapter: str
    setting: str = ""


Figures = Mapping[Arm | str, MeanFigure]
"""A metric of several arms on the same draws of conditions; references (`REFERENCE_ARMS`) by their names."""


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
        self._paired: dict[tuple[str, str, tuple[Arm, ...]], Figures | None] = {}

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

    def paired(self, task: str, metric: Metric, arms: Sequence[Arm]) -> Figures | None:
        """Return a metric of arms on the same draws; None where they share no seed or fewer than two scores.

        Raises:
            DataError: arms of one seed were measured on other conditions than others.
        """
        key = task, metric.name, tuple(arms)
        if key not in self._paired:
            self._paired[key] = self._pair(task, metric, arms)
        return self._paired[key]

    def _pair(self, task: str, metric: Metric, arms: Sequence[Arm]) -> Figures | None:
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
        figures = over_seeds(found.figures, found.num_conditions, shared_conditions=shared)
        return {names.get(name, name): figure for name, figure in figures.items()}

    def number(self, task: str, arm: Arm, name: str, seed: int) -> float | None:
        """Return a number that a run has of all its pictures."""
        run = Run(task, arm.adapter, arm.setting, seed)
        return self.measured(run).metrics.get(name) if run in self._tables else None

    def over_seeds(self, task: str, arm: Arm, name: str) -> list[float]:
        """Return such a number of every seed that has it."""
        found = (self.number(task, arm, name, seed) for seed in self.seeds)
        return [value for value in found if value is not None]

    def figure(self, task: str, arm: Arm, metric: Metric) -> MeanFigure | None:
        """Return a metric of one arm over all its seeds, and over conditions where pictures have scores."""
        if is_of_pictures(metric):
            paired = self.paired(task, metric, (arm,))
            return None if paired is None else paired[arm]
        values = self.over_seeds(task, arm, metric.name)
        return of_whole_runs(values) if values else None

    def difference(self, task: str, metric: Metric, arm: Arm, other: Arm) -> MeanFigure | None:
        """Return the paired difference of two arms over the seeds that both have."""
        if not is_of_pictures(metric):
            return difference_of(self.pairs(task, arm, other, metric.name))
        paired = self.paired(task, metric, (arm, other))
        return None if paired is None else paired[arm] - paired[other]

    def pairs(
        self, task: str, arm: Arm, other: Arm, name: str, other_name: str = ""
    ) -> list[tuple[float, float]]:
        """Return numbers of whole runs of two arms, of every seed that both have."""
        found = [
            (self.number(task, arm, name, seed), self.number(task, other, other_name or name, seed))
            for seed in self.seeds
        ]
        return [(first, second) for first, second in found if first is not None and second is not None]


def is_of_pictures(metric: Metric) -> bool:
    """Return whether pictures have scores of a metric, or pixels that it is made of."""
    return metric.per_picture or metric.pooled is not None


def _name(arm: Arm) -> str:
    return f"{arm.adapter}/{arm.setting}"


def difference_of(pairs: Sequence[tuple[float, float]], *, ratio: bool = False) -> MeanFigure | None:
    """Return the difference of numbers of whole runs, or the logarithm of their ratio; None without any."""
    if ratio:
        values = [math.log10(first / other) for first, other in pairs if first > 0 and other > 0]
    else:
        values = [first - other for first, other in pairs]
    return of_whole_runs(values) if values else None


def estimate_of(figure: MeanFigure) -> Estimate:
    """Return a figure with its interval, where it has one and is no constant."""
    interval = figure.interval()
    if interval is None or interval.low == interval.high:
        return Estimate(figure.value)
    return Estimate(*interval)
