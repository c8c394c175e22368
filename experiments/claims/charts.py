"""Curves of what was varied: steps, seconds, parameters, data, radius; fidelity against what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from experiments.claims.catalogue import (
    BLOCKS,
    CONTROL_TASK,
    EPS,
    LONG,
    RANKS,
    SHARES,
    STEPS,
    SUBJECT_TASK,
    at_constant_rate,
    with_blocks,
    with_data,
    with_eps,
    with_rank,
    with_steps,
)
from experiments.claims.findings import Chart, Estimate, Point, Series
from experiments.claims.record import Record, fastest
from experiments.claims.statistics import Arm, Results, estimate_of
from experiments.claims.table import Run
from experiments.claims.verdicts import describe_arm
from oft.adapters.registry import BASE_ALONE
from oft.evaluation.metric import Metric
from oft.evaluation.registry import find_metric
from oft.report.plan import describe_task

COMPARED = ("oft", "lora", "controlnet", "hint")
LONG_ADAPTERS = ("oft", "coft", "lora", "dreambooth")
BESIDE_FIDELITY = ("drift", "prompt_similarity", "diversity")
"""What fidelity is paid for with."""

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
        *_over_radius(results),
        *(_fidelity(task, beside, results) for task in _learned(results) for beside in BESIDE_FIDELITY),
    )
    return tuple(chart for chart in made if chart is not None)


def _of_control(results: Results, what: str) -> str:
    """Return the title of a chart of the task that settings are varied on."""
    return f"{describe_task(CONTROL_TASK, results.params).short_title(CONTROL_TASK)}: {what}"


def _over_steps(results: Results, headline: Metric, records: Mapping[Run, Record]) -> Iterable[Chart | None]:
    longest = results.params.train.max_train_steps
    arms = {
        name: [*((steps, Arm(name, with_steps(steps))) for steps in STEPS), (longest, Arm(name))]
        for name in COMPARED
    }
    by_steps = _lines(
        results, CONTROL_TASK, arms, headline, "chart-steps", _of_control(results, "steps of training"),
        "convergence", "Optimizer steps of a whole training",
    )  # fmt: skip
    yield by_steps and replace(by_steps, note=_crossing(results, headline, arms["oft"], arms["lora"]))
    seconds = {
        name: fastest(records, CONTROL_TASK, name, [arm.setting for _, arm in arms[name]]) for name in arms
    }
    timed = {
        name: [(steps * taken, arm) for steps, arm in placed]
        for name, placed in arms.items()
        if (taken := seconds[name]) is not None
    }
    by_seconds = _lines(
        results, CONTROL_TASK, timed, headline, "chart-seconds", _of_control(results, "seconds of training"),
        "convergence", "Seconds of training",
    )  # fmt: skip
    yield by_seconds and replace(
        by_seconds,
        note="Seconds a step are those of each adapter's fastest training: trainings ran side by side, which "
        "slows some of them.",
    )
    energy = find_metric("energy_change")
    if energy is not None:
        yield _lines(
            results, CONTROL_TASK, arms, energy, "chart-energy",
            _of_control(results, "change of energy by steps of training"), "energy",
            "Optimizer steps of a whole training",
        )  # fmt: skip


def _crossing(results: Results, metric: Metric, curve: Sequence[Placed], others: Sequence[Placed]) -> str:
    """Return after how many steps one adapter is where another ends, in words; '' where that is not known.

    Between trainings the curve is taken to be straight.
    """
    (*_, (longest, last)) = others
    first, other = (describe_arm(Arm(placed[0][1].adapter), results) for placed in (curve, others))
    found = []
    for seed in results.seeds_of(CONTROL_TASK, [last, *(arm for _, arm in curve)]):
        end = results.number(CONTROL_TASK, last, metric.name, seed)
        values = [results.number(CONTROL_TASK, arm, metric.name, seed) for _, arm in curve]
        known = [value for value in values if value is not None]
        if end is None or len(known) < len(values):
            continue
        sign = -1 if metric.direction == "lower" else 1
        reached = np.maximum.accumulate(sign * np.array(known))
        within = sign * end <= reached[-1]
        found.append(np.interp(sign * end, reached, [steps for steps, _ in curve]) if within else np.inf)
    if not found:
        return ""
    told = " and ".join(dict.fromkeys(_steps(steps, longest) for steps in (min(found), max(found))))
    between = "between " if " and " in told else ""
    seeds = f"{len(found)} seed{'s' if len(found) > 1 else ''}"
    return f"{first} is where {other} ends {between}{told} of {longest:g} steps ({seeds})."


def _steps(steps: float, longest: float) -> str:
    return f"after about {round(steps, -1):g}" if steps <= longest else "after more than all"


def _over_parameters(results: Results, headline: Metric) -> Chart | None:
    arms = {
        "oft": [Arm("oft"), *(Arm("oft", with_blocks(r)) for r in BLOCKS)],
        "lora": [Arm("lora"), *(Arm("lora", with_rank(r)) for r in RANKS)],
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
        results, CONTROL_TASK, placed, headline, "chart-parameters",
        _of_control(results, "trained parameters"), "parameters",
        "Trained parameters, hint encoder included", log_x=True,
    )  # fmt: skip


def _over_data(results: Results, headline: Metric) -> Chart | None:
    arms = {
        name: [*((100 * share, Arm(name, with_data(share))) for share in SHARES), (100.0, Arm(name))]
        for name in COMPARED
    }
    return _lines(
        results, CONTROL_TASK, arms, headline, "chart-data", _of_control(results, "training pictures"),
        "data", "Share of the training pictures, %", log_x=True,
    )  # fmt: skip


def _over_long_training(results: Results) -> Iterable[Chart | None]:
    arms: dict[str, list[Placed]] = {
        name: [(float(steps), Arm(name, at_constant_rate(steps))) for steps in LONG] for name in LONG_ADAPTERS
    }
    for metric in _of_long_training(results):
        yield _lines(
            results, SUBJECT_TASK, arms, metric, f"chart-long-{metric.name}",
            f"Long training: {metric.label}", "stability", "Optimizer steps at a constant rate",
        )  # fmt: skip


def _over_radius(results: Results) -> Iterable[Chart | None]:
    own = getattr(results.params.adapters.get("coft"), "eps", None)
    if own is None:
        return
    arms = {"coft": sorted([(eps, Arm("coft", with_eps(eps))) for eps in EPS]
                           + [(own, Arm("coft", at_constant_rate(LONG[-1])))])}  # fmt: skip
    for metric in _of_long_training(results):
        yield _lines(
            results, SUBJECT_TASK, arms, metric, f"chart-eps-{metric.name}", f"COFT's radius: {metric.label}",
            "radius", f"eps, after {LONG[-1]} steps at a constant rate", log_x=True,
        )  # fmt: skip


def _of_long_training(results: Results) -> list[Metric]:
    found = (results.headline(SUBJECT_TASK), find_metric("prompt_similarity"), find_metric("drift"))
    return [metric for metric in found if metric is not None]


def _lines(
    results: Results,
    task: str,
    arms: Mapping[str, Sequence[Placed]],
    metric: Metric,
    name: str,
    title: str,
    claim: str,
    x_title: str,
    *,
    log_x: bool = False,
) -> Chart | None:
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
    """Return a metric of one arm with its interval over its seeds and conditions."""
    figure = results.figure(task, arm, metric)
    return None if figure is None else estimate_of(figure)


def _learned(results: Results) -> list[str]:
    params = results.params
    return [*params.subject_tasks, *params.style_tasks]


def _fidelity(task: str, beside: str, results: Results) -> Chart | None:
    """Return fidelity against what it is paid for with, a point for each adapter."""
    headline, other = results.headline(task), find_metric(beside)
    if headline is None or other is None:
        return None
    series = []
    for arm in results.arms(task):
        if arm.adapter == BASE_ALONE or arm.setting:
            continue
        x, y = (estimate(task, arm, metric, results) for metric in (other, headline))
        if x is not None and y is not None:
            series.append(Series(arm.adapter, describe_arm(arm, results), (Point(x.value, y),)))
    if len(series) < 2:
        return None
    better = {"lower": "left", "higher": "right"}.get(other.direction)
    return Chart(
        f"chart-fidelity-{task}" if beside == "drift" else f"chart-{beside}-{task}",
        f"{describe_task(task, results.params).short_title(task)}: fidelity against {other.label.lower()}",
        "kept",
        "scatter",
        other.title(results.params.evaluate.judges),
        headline.title(results.params.evaluate.judges),
        log_x=False,
        direction=headline.direction,
        series=tuple(series),
        note="Up is more like what was learned"
        + (f", {better} is better on the other axis." if better else "."),
    )
