"""How far adapters came, beyond chance: differences and shares of a distance, with paired intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from oft.adapters.registry import BASE_ALONE
from oft.evaluation.intervals import (
    Figure,
    Interval,
    Picture,
    bootstrap_interval,
    closed_share,
    constant,
    difference_of,
    pair_models,
)
from oft.evaluation.metric import REAL, RECONSTRUCTION, SUBJECT, Metric, kind_of
from oft.evaluation.registry import find_metric
from oft.report.results import RunResults


@dataclass(frozen=True)
class PairedFigures:
    """A metric of several models on the conditions that all of them have.

    Attributes:
        by_model: the metric by adapter, and of a reference under its suffix.
        num_conditions: how many conditions (of a subject: prompts) these are, 2 or more.
        seed: of the resamples; the same for every interval, so that all stand on the same draws.
    """

    by_model: Mapping[str, Figure]
    num_conditions: int
    seed: int

    def interval(self, figure: Figure) -> Interval:
        """Return the interval of a figure of these conditions."""
        return bootstrap_interval(figure, self.num_conditions, np.random.default_rng(self.seed))

    def difference(self, model: str, other: str) -> Interval:
        """Return by how much a model's metric is above another's."""
        return self.interval(difference_of(self.by_model[model], self.by_model[other]))

    def closed(self, model: str, start: str, end: str) -> Interval:
        """Return the share of the distance between two models that a third closes."""
        return self.interval(closed_share(*(self.by_model[name] for name in (model, start, end))))


@dataclass(frozen=True)
class Gain:
    """One adapter's metric beside the base alone and the hint encoder alone.

    Attributes:
        difference: its own less the base's.
        closed: its share of the distance from the base to the reference; None without a distance.
        over_hint: its own less that of the hint encoder alone; None where that was not trained.
        closed_of_rest: its share of the distance from the hint encoder alone to the reference.
    """

    difference: Interval
    closed: Interval | None = None
    over_hint: Interval | None = None
    closed_of_rest: Interval | None = None


@dataclass(frozen=True)
class MetricGains:
    """How far each adapter of a task came by one metric.

    Attributes:
        metric: what is measured.
        reference: what the distance leads to, `REAL` (subjects) or `RECONSTRUCTION` (all others).
        num_conditions: conditions, or prompts, that the intervals are over.
        distance: the reference's metric less the base's.
        by_adapter: in the order of the columns, without the base.
        unit: what is resampled.
    """

    metric: Metric
    reference: str
    num_conditions: int
    distance: Interval
    by_adapter: Mapping[str, Gain]
    unit: Literal["conditions", "prompts"] = "conditions"

    def improves(self, difference: Interval) -> bool:
        """Return whether a difference is better beyond chance."""
        return is_better(difference, self.metric)


def is_better(difference: Interval, metric: Metric) -> bool:
    """Return whether the whole interval of a difference lies on the metric's better side."""
    return difference.high < 0 if metric.direction == "lower" else difference.low > 0


def reference_of(condition: str) -> str:
    """Return what a task's adapters are measured towards, as the suffix of its keys.

    With a condition it is the target through the autoencoder: nothing drawn with the base can be expected to
    score higher. A subject's target is no picture; there it is how alike its real pictures are.
    """
    return REAL if condition == SUBJECT else RECONSTRUCTION


def measure_gains(
    condition: str, runs: Sequence[RunResults], metric_name: str, seed: int
) -> MetricGains | None:
    """Return how far each adapter came by a metric; None where base, reference or scores are missing.

    Args:
        condition: the task's.
        runs: the task's.
        metric_name: a key of ``metrics.json``.
        seed: of the bootstrap.
    """
    metric, reference = find_metric(metric_name), reference_of(condition)
    if metric is None or BASE_ALONE not in {run.adapter for run in runs}:
        return None
    paired = pair_figures(runs, metric, reference, seed)
    if paired is None:
        return None
    distance = paired.difference(reference, BASE_ALONE)
    hint = next((run.adapter for run in runs if run.words.is_hint_alone), None)
    trained = [run.adapter for run in runs if run.adapter != BASE_ALONE]
    gains = {name: _measure_gain(paired, metric, name, hint, reference, distance) for name in trained}
    unit: Literal["conditions", "prompts"] = "conditions" if kind_of(condition) == "control" else "prompts"
    return MetricGains(metric, reference, paired.num_conditions, distance, gains, unit)


def find_clear_best(runs: Sequence[RunResults], metric: Metric, seed: int) -> str | None:
    """Return the adapter whose metric is better than that of every other run beyond chance, None for none."""
    paired = pair_figures(runs, metric, "", seed) if metric.direction != "neither" and len(runs) > 1 else None
    if paired is None:
        return None
    sign = -1 if metric.direction == "lower" else 1
    everything = np.ones((1, paired.num_conditions), np.int64)
    values = {name: sign * float(figure(everything)[0]) for name, figure in paired.by_model.items()}
    best = max(values, key=values.__getitem__)
    others = [name for name in values if name != best]
    return best if all(is_better(paired.difference(best, other), metric) for other in others) else None


def pair_figures(
    runs: Sequence[RunResults], metric: Metric, reference: str, seed: int
) -> PairedFigures | None:
    """Return a metric of all runs, and of a reference, on the conditions that they share; None below two.

    Args:
        reference: `RECONSTRUCTION`, each target's own score; `REAL`, a value of the metrics; '' for none.
    """
    by_model = {run.adapter: _of_pictures(run, metric, "") for run in runs}
    if reference == RECONSTRUCTION:
        found = (_of_pictures(run, metric, reference) for run in runs)
        by_model[reference] = next((scores for scores in found if scores), {})
    keys, figures = pair_models(by_model, metric.pooled)
    if len(keys) < 2:
        return None
    if reference == REAL:
        real = next((v for run in runs if (v := run.number(f"{metric.name}{REAL}")) is not None), None)
        if real is None:
            return None
        figures[reference] = constant(real)
    return PairedFigures(figures, len(keys), seed)


def _measure_gain(
    paired: PairedFigures, metric: Metric, name: str, hint: str | None, reference: str, distance: Interval
) -> Gain:
    difference = paired.difference(name, BASE_ALONE)
    closed = paired.closed(name, BASE_ALONE, reference) if is_better(distance, metric) else None
    if hint is None or name == hint:
        return Gain(difference, closed)
    has_rest = is_better(paired.difference(reference, hint), metric)
    return Gain(
        difference,
        closed,
        paired.difference(name, hint),
        paired.closed(name, hint, reference) if has_rest else None,
    )


def _of_pictures(run: RunResults, metric: Metric, suffix: str) -> Mapping[Picture, Any]:
    """Return a run's scores, or pixels by class, of each picture; under a suffix those of its source."""
    if metric.pooled is not None:
        part = metric.pixels_of(suffix)
        return {picture: parts[part] for picture, parts in run.class_pixels.items() if part in parts}
    name = f"{metric.name}{suffix}"
    return {(p.key, p.index): p.scores[name] for p in run.pictures if name in p.scores}
