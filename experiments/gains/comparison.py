"""What each adapter of a task adds over the base and over the hint encoder, and how settings compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.gains.intervals import Interval, Quantity, divide, interval_of_mean, resample
from experiments.gains.scores import (
    TARGET_ARMS,
    Measured,
    choose_value,
    compared_metrics,
    lay_out,
    shares_conditions,
)
from oft.adapters.registry import BASE_ALONE
from oft.evaluation.registry import find_metric

MAGNITUDES = ("val_loss_before", "val_loss_after")
BASE = "the base"
UNDIVIDED = "no ratio: {} is not told apart from 0, its interval is {}"


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: the confidence level, and number and seed of the resamples."""

    level: float = 0.95
    num_resamples: int = 9999
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


def _compare_metric(runs: TaskRuns, metric: str, resampling: Resampling) -> list[Estimate]:
    arms, num_conditions = _resample_arms(runs, metric, resampling)
    ceiling = next((name for name in TARGET_ARMS.values() if name in arms), None)
    found: list[Estimate] = []

    def add(name: str, quantity: Quantity | None, note: str = "") -> None:
        value, interval = None, None
        by_seed: dict[int, float] = {}
        if quantity is not None:
            value, interval = quantity.value, quantity.interval(resampling.level)
            by_seed = dict(zip(runs.seeds, quantity.by_seed.tolist(), strict=True))
        low, high = interval or (None, None)
        found.append(Estimate(runs.task, metric, name, value, low, high, by_seed, num_conditions, note))

    def add_ratio(above: tuple[str, Quantity], below: tuple[str, Quantity]) -> None:
        ratio = divide(above[1], below[1], resampling.level)
        note = "" if ratio else UNDIVIDED.format(below[0], _format(below[1].interval(resampling.level)))
        add(f"{_bracket(above[0])} / {_bracket(below[0])}", ratio, note)

    for name, quantity in arms.items():
        add(name, quantity)
    references = [name for name in (BASE, runs.hint) if name in arms]
    for adapter in arms:
        if adapter == BASE or adapter in TARGET_ARMS.values():
            continue
        for reference in references:
            if adapter == reference:
                continue
            gain = arms[adapter] - arms[reference]
            add(f"{adapter} - {reference}", gain)
            if ceiling is not None:
                room = arms[ceiling] - arms[reference]
                add_ratio((f"{adapter} - {reference}", gain), (f"{ceiling} - {reference}", room))
        for other in (BASE, ceiling):
            if other is not None and other in arms:
                add_ratio((adapter, arms[adapter]), (other, arms[other]))
    return found


def _resample_arms(runs: TaskRuns, metric: str, resampling: Resampling) -> tuple[dict[str, Quantity], int]:
    """Return every arm's score by its name (see ``BASE``), and the number of conditions."""
    names, tables = lay_out(metric, runs.arms, shared_conditions=runs.shared_conditions)
    first = next(iter(runs.arms.values()))[0]
    quantities = resample(
        tables,
        choose_value(metric, first),
        resampling.num_resamples,
        np.random.default_rng(resampling.seed),
        shared_conditions=runs.shared_conditions,
    )
    named = [BASE if name == BASE_ALONE else name for name in names]
    return dict(zip(named, quantities, strict=True)), sum(map(len, tables))


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
            interval = interval_of_mean(values, level)
            low, high = interval or (None, None)
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
        DataError: settings were measured on other conditions than others.
    """
    first = next(iter(runs.arms.values()))[0]
    metric = compared_metrics(runs.condition, first)[0]
    quantities, _ = _resample_arms(runs, metric, resampling)
    declared = find_metric(metric)
    sign = -1.0 if declared is not None and declared.direction == "lower" else 1.0
    ranked = sorted(runs.arms, key=lambda name: -sign * quantities[name].value)
    best = quantities[ranked[0]]
    rows = []
    for name in ranked:
        own, behind = quantities[name], quantities[name] - best
        rows.append(
            SettingScore(
                name,
                own.value,
                *own.interval(resampling.level),
                dict(zip(runs.seeds, own.by_seed.tolist(), strict=True)),
                behind.value,
                *behind.interval(resampling.level),
            )
        )
    return metric, rows


def _bracket(name: str) -> str:
    return f"({name})" if " - " in name else name


def _format(interval: Interval) -> str:
    return f"[{interval.low:.3g}, {interval.high:.3g}]"
