"""Adapters side by side on each task, references beside them, cost beside quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from experiments.claims.findings import Column, Estimate, Row, Table
from experiments.claims.record import Record, costs_of
from experiments.claims.statistics import Arm, Paired, Results, estimate_over_seeds
from experiments.claims.table import Run
from experiments.claims.verdicts import describe_arm, stands_out
from experiments.gains.scores import REFERENCE_ARMS
from oft.adapters.registry import BASE_ALONE
from oft.evaluation.metric import Metric
from oft.evaluation.registry import find_metric
from oft.report.plan import describe_task

BESIDE = (
    "prompt_similarity", "style_similarity_unseen", "frechet_distance", "diversity", "drift", "energy_change",
    "trainable_parameters", "adapter_bytes",
)  # fmt: skip
"""Metrics beside the headline's, where runs have them."""

SECONDS = Column("seconds_per_step", "Seconds a step", "lower", "of training, where and as it was run")
MEMORY = Column("peak_memory_bytes", "Peak memory, MB", "lower", "of the training's process")
COUNTS = ("trainable_parameters", "adapter_bytes")


class _Side(NamedTuple):
    """A metric of all arms of a task that were run as the profile says."""

    metric: Metric
    paired: Paired | None


def tables(results: Results, records: Mapping[Run, Record]) -> tuple[Table, ...]:
    """Return a table of each task with runs under the profile's own settings."""
    params = results.params
    tasks = (*params.control_tasks, *params.subject_tasks, *params.style_tasks)
    return tuple(found for task in tasks if (found := _table(task, results, records)) is not None)


def _table(task: str, results: Results, records: Mapping[Run, Record]) -> Table | None:
    arms = _in_order([arm for arm in results.arms(task) if not arm.setting], results)
    headline = results.headline(task)
    if not arms or headline is None:
        return None
    names = [headline.name, *(name for name in BESIDE if name != headline.name)]
    metrics = [metric for name in names if (metric := find_metric(name)) is not None]
    sides = [_Side(metric, _paired(task, metric, arms, results)) for metric in metrics]
    sides = [side for side in sides if side.paired is not None or _has(task, side.metric, arms, results)]
    costs = _costs(task, arms, records)
    rows = [_row(task, arm, sides, results, costs.get(arm, {})) for arm in arms]
    rows += _references(sides[0])
    shown = [column for column in (SECONDS, MEMORY) if any(column.key in row.cells for row in rows)]
    seeds = results.seeds_of(task, arms)
    paired = sides[0].paired
    over = f", {paired.num_conditions} conditions" if paired else ""
    return Table(
        name=f"table-{task}",
        title=describe_task(task, results.params).title(task),
        note=f"{len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}{over}; bold where every other adapter "
        "is worse beyond the interval of the difference.",
        columns=(*(_column(side.metric, results) for side in sides), *shown),
        rows=tuple(rows),
    )


def _in_order(arms: Sequence[Arm], results: Results) -> list[Arm]:
    order = [BASE_ALONE, *results.params.adapters]
    return sorted(arms, key=lambda arm: order.index(arm.adapter) if arm.adapter in order else len(order))


def _paired(task: str, metric: Metric, arms: Sequence[Arm], results: Results) -> Paired | None:
    if not metric.per_picture and metric.pooled is None:
        return None
    return results.paired(task, metric, arms)


def _has(task: str, metric: Metric, arms: Sequence[Arm], results: Results) -> bool:
    return any(results.over_seeds(task, arm, metric.name) for arm in arms)


def _column(metric: Metric, results: Results) -> Column:
    title = metric.title(results.params.evaluate.judges)
    return Column(metric.name, title, metric.direction, metric.explanation)


def _row(task: str, arm: Arm, sides: Sequence[_Side], results: Results, costs: Mapping[str, Estimate]) -> Row:
    cells = {side.metric.name: cell for side in sides if (cell := _cell(task, arm, side, results))}
    is_reference = arm.adapter == BASE_ALONE
    best = () if is_reference else tuple(side.metric.name for side in sides if _is_best(arm, side))
    return Row(arm.adapter, describe_arm(arm, results), {**cells, **costs}, best, is_reference)


def _cell(task: str, arm: Arm, side: _Side, results: Results) -> Estimate | None:
    """Return a value with its interval: over conditions and seeds, else over seeds, else a run's own."""
    if side.paired is not None:
        return Estimate(*side.paired.figures[arm].interval())
    name = side.metric.name
    values = results.over_seeds(task, arm, name)
    if not values:
        return None
    if name in COUNTS or len(values) < 2:
        bounds = [results.over_seeds(task, arm, f"{name}{end}") for end in ("_low", "_high")]
        own = [found[0] for found in bounds if len(values) == 1 and found]
        return Estimate(values[0], *own) if len(own) == len(bounds) else Estimate(values[0])
    return estimate_over_seeds(values)


def _is_best(arm: Arm, side: _Side) -> bool:
    """Return whether every other adapter is worse beyond the interval of its difference."""
    if side.paired is None:
        return False
    others = [
        figure
        for other, figure in side.paired.figures.items()
        if isinstance(other, Arm) and other != arm and other.adapter != BASE_ALONE
    ]
    return stands_out(side.paired.figures[arm], others, side.metric.direction)


def _references(headline: _Side) -> list[Row]:
    """Return the rows of what the headline's metric comes to on references."""
    if headline.paired is None:
        return []
    return [
        Row(name, name, {headline.metric.name: Estimate(*figure.interval())}, is_reference=True)
        for name in REFERENCE_ARMS.values()
        if (figure := headline.paired.figures.get(name)) is not None
    ]


def _costs(task: str, arms: Sequence[Arm], records: Mapping[Run, Record]) -> dict[Arm, dict[str, Estimate]]:
    """Return the median cost of each arm's trainings, where it is known."""
    found = {}
    for arm in arms:
        if costs := costs_of(records, task, arm.adapter, arm.setting):
            found[arm] = {
                SECONDS.key: Estimate(median(cost.seconds_per_step for cost in costs)),
                MEMORY.key: Estimate(median(cost.peak_memory_bytes for cost in costs) / 1e6),
            }
    return found
