"""Curves of what was varied: steps, seconds, parameters, data, length of training; fidelity against drift."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from experiments.claims.catalogue import BLOCKS, CONTROL_TASK, LONG, RANKS, SHARES, STEPS, SUBJECT_TASK
from experiments.claims.findings import Chart, Estimate, Point, Series
from experiments.claims.record import Record, costs_of
from experiments.claims.statistics import Arm, Results, estimate_over_seeds
from experiments.claims.table import Run
from experiments.claims.verdicts import describe_arm
from oft.adapters.registry import BASE_ALONE
from oft.evaluation.metric import Metric
from oft.evaluation.registry import find_metric
from oft.report.plan import describe_task

COMPARED = ("oft", "lora", "controlnet", "hint")
LONG_ADAPTERS = ("oft", "coft", "lora", "dreambooth")
Placed = tuple[float, Arm]
"""Where an arm stands on the axis."""


def charts(results: Results, records: Mapping[Run, Record]) -> tuple[Chart, ...]:
    """Return every chart that there are two points or more for."""
    headline = results.headline(CONTROL_TASK)
    made_of_control = (
        ()
        if headline is None
        else (
            *_over_steps(results, headline, records),
            _over_parameters(results, headline),
            _over_data(results, headline),
        )
    )
    made = (
        *made_of_control,
        *_over_long_training(results),
        *(_fidelity(task, results) for task in _learned(results)),
    )
    return tuple(chart for chart in made if chart is not None)


def _of_control(results: Results, what: str) -> str:
    """Return the title of a chart of the task that settings are varied on."""
    return f"{describe_task(CONTROL_TASK, results.params).short_title(CONTROL_TASK)}: {what}"


def _over_steps(results: Results, headline: Metric, records: Mapping[Run, Record]) -> Iterable[Chart | None]:
    longest = results.params.train.max_train_steps
    arms = {
        name: [*((steps, Arm(name, f"steps={steps}")) for steps in STEPS), (longest, Arm(name))]
        for name in COMPARED
    }
    yield _lines(
        results, arms, headline, "chart-steps", _of_control(results, "steps of training"), "convergence",
        "Optimizer steps of a whole training",
    )  # fmt: skip
    timed = {name: _in_seconds(placed, records) for name, placed in arms.items()}
    yield _lines(
        results, timed, headline, "chart-seconds", _of_control(results, "seconds of training"), "convergence",
        "Seconds of training on the machine that ran it",
    )  # fmt: skip
    energy = find_metric("energy_change")
    if energy is not None:
        yield _lines(
            results, arms, energy, "chart-energy",
            _of_control(results, "change of energy along training"), "energy",
            "Optimizer steps of a whole training",
        )  # fmt: skip


def _in_seconds(placed: Sequence[Placed], records: Mapping[Run, Record]) -> list[Placed]:
    """Return arms by how many seconds their training took: the fastest of its seeds, the rest is noise."""
    found = []
    for steps, arm in placed:
        if costs := costs_of(records, CONTROL_TASK, arm.adapter, arm.setting):
            found.append((min(cost.seconds_per_step for cost in costs) * steps, arm))
    return found


def _over_parameters(results: Results, headline: Metric) -> Chart | None:
    arms = {
        "oft": [Arm("oft"), *(Arm("oft", f"blocks={r}") for r in BLOCKS)],
        "lora": [Arm("lora"), *(Arm("lora", f"rank={r}") for r in RANKS)],
    }
    placed = {
        name: [
            (counts[0], arm)
            for arm in found
            if (counts := results.over_seeds(CONTROL_TASK, arm, "trainable_parameters"))
        ]
        for name, found in arms.items()
    }
    return _lines(
        results, placed, headline, "chart-parameters",
        _of_control(results, "trained parameters"), "parameters",
        "Trained parameters, hint encoder included", log_x=True,
    )  # fmt: skip


def _over_data(results: Results, headline: Metric) -> Chart | None:
    arms = {
        name: [*((100 * share, Arm(name, f"data={share:.0%}")) for share in SHARES), (100.0, Arm(name))]
        for name in COMPARED
    }
    return _lines(
        results, arms, headline, "chart-data", _of_control(results, "training pictures"), "data",
        "Share of the training pictures, %", log_x=True,
    )  # fmt: skip


def _over_long_training(results: Results) -> Iterable[Chart | None]:
    arms: dict[str, list[Placed]] = {
        name: [(float(steps), Arm(name, f"constant rate, steps={steps}")) for steps in LONG]
        for name in LONG_ADAPTERS
    }
    for metric in (results.headline(SUBJECT_TASK), find_metric("prompt_similarity"), find_metric("drift")):
        if metric is not None:
            yield _lines(
                results, arms, metric, f"chart-long-{metric.name}", f"Long training: {metric.label}",
                "stability", "Optimizer steps at a constant rate",
            )  # fmt: skip


def _lines(
    results: Results,
    arms: Mapping[str, Sequence[Placed]],
    metric: Metric,
    name: str,
    title: str,
    claim: str,
    x_title: str,
    *,
    log_x: bool = False,
) -> Chart | None:
    task = SUBJECT_TASK if claim == "stability" else CONTROL_TASK
    series = []
    for adapter, placed in arms.items():
        points = [
            Point(x, found)
            for x, arm in placed
            if (found := estimate(task, arm, metric, results)) is not None
        ]
        if len(points) > 1:
            series.append(Series(adapter, describe_arm(Arm(adapter), results), tuple(points)))
    if not series:
        return None
    y_title = metric.title(results.params.evaluate.judges)
    return Chart(name, title, claim, "line", x_title, y_title, log_x, metric.direction, tuple(series))


def estimate(task: str, arm: Arm, metric: Metric, results: Results) -> Estimate | None:
    """Return a metric of one arm with its interval over conditions and seeds, or over seeds alone."""
    if metric.per_picture or metric.pooled is not None:
        paired = results.paired(task, metric, (arm,))
        return None if paired is None else Estimate(*paired.figures[arm].interval())
    values = results.over_seeds(task, arm, metric.name)
    return estimate_over_seeds(values) if values else None


def _learned(results: Results) -> list[str]:
    params = results.params
    return [*params.subject_tasks, *params.style_tasks]


def _fidelity(task: str, results: Results) -> Chart | None:
    """Return fidelity against drift, a point for each adapter."""
    headline, drift = results.headline(task), find_metric("drift")
    if headline is None or drift is None:
        return None
    series = []
    for arm in results.arms(task):
        x, y = (estimate(task, arm, metric, results) for metric in (drift, headline))
        if arm.adapter != BASE_ALONE and not arm.setting and x is not None and y is not None:
            title = describe_arm(arm, results)
            series.append(Series(arm.adapter, title, (Point(x.value, y),)))
    if len(series) < 2:
        return None
    return Chart(
        f"chart-fidelity-{task}",
        f"{describe_task(task, results.params).short_title(task)}: fidelity against drift",
        "kept",
        "scatter",
        drift.title(results.params.evaluate.judges),
        headline.title(results.params.evaluate.judges),
        log_x=False,
        direction=headline.direction,
        series=tuple(series),
        note="Up is more like what was learned, left is less change of what was not asked for.",
    )
