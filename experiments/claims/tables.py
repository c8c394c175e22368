"""Adapters side by side on each task, references beside them, cost beside quality; and what was varied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.claims.catalogue import CONTROL_TASK, experiments
from experiments.claims.findings import Column, Estimate, Row, Table
from experiments.claims.record import Record, costs_of, fastest
from experiments.claims.statistics import Arm, Results, estimate_of, is_of_pictures
from experiments.claims.table import Run
from experiments.claims.verdicts import describe_arm, stands_out
from experiments.gains.scores import REFERENCE_ARMS
from experiments.paired import MIN_SEEDS
from oft.adapters.registry import BASE_ALONE
from oft.evaluation.metric import BOUNDS, Metric
from oft.evaluation.registry import find_metric
from oft.report.plan import describe_task

BESIDE = (
    "prompt_similarity", "style_similarity_unseen", "frechet_distance", "diversity", "drift", "energy_change",
    "trainable_parameters", "adapter_bytes",
)  # fmt: skip
"""Metrics beside the headline's, where runs have them."""

VARIED = ("drift", "energy_change", "trainable_parameters")
"""Metrics beside the headline's where settings are varied."""

SECONDS = Column(
    "seconds_per_step",
    "Seconds a step",
    "neither",
    "of an adapter's fastest training; trainings ran side by side, which slows some",
)
MEMORY = Column("peak_memory_bytes", "Peak memory, MB", "lower", "of the training's process")
COUNTS = ("trainable_parameters", "adapter_bytes")
OF_ADAPTERS = ("drift",)
"""Metrics that say of the base alone how two draws of noise differ, which is another thing."""


def tables(results: Results, records: Mapping[Run, Record]) -> tuple[Table, ...]:
    """Return a table of each task with runs under the profile's own settings, and one of what was varied."""
    params = results.params
    tasks = (*params.control_tasks, *params.subject_tasks, *params.style_tasks)
    made = [*(_side_by_side(task, results, records) for task in tasks), _varied(results)]
    return tuple(found for found in made if found is not None)


def _side_by_side(task: str, results: Results, records: Mapping[Run, Record]) -> Table | None:
    arms = _in_order([arm for arm in results.arms(task) if not arm.setting], results)
    headline = results.headline(task)
    if not arms or headline is None:
        return None
    metrics = _metrics(task, headline, BESIDE, arms, results)
    best = {metric.name: _best(task, metric, arms, results) for metric in metrics}
    rows = [
        Row(
            arm.adapter,
            describe_arm(arm, results),
            {**_cells(task, arm, metrics, results), **_costs(task, arm, records)},
            tuple(name for name, found in best.items() if found == arm),
            arm.adapter == BASE_ALONE,
        )
        for arm in arms
    ]
    rows += _references(task, headline, arms, results)
    shown = [column for column in (SECONDS, MEMORY) if any(column.key in row.cells for row in rows)]
    return Table(
        name=f"table-{task}",
        title=describe_task(task, results.params).title(task),
        note=_note(task, headline, arms, results),
        columns=(*(_column(metric, results) for metric in metrics), *shown),
        rows=tuple(rows),
    )


def _varied(results: Results) -> Table | None:
    """Return the settings of adapters that were varied on one task: blocks, ranks, layers, data, steps."""
    arms = _in_order([arm for arm in results.arms(CONTROL_TASK) if arm.setting], results)
    headline = results.headline(CONTROL_TASK)
    if not arms or headline is None:
        return None
    metrics = _metrics(CONTROL_TASK, headline, VARIED, arms, results)
    return Table(
        name="table-varied",
        title=f"{describe_task(CONTROL_TASK, results.params).short_title(CONTROL_TASK)}: what was varied",
        note=_note(CONTROL_TASK, headline, arms, results),
        columns=tuple(_column(metric, results) for metric in metrics),
        rows=tuple(
            Row(
                f"{arm.adapter}, {arm.setting}",
                describe_arm(arm, results),
                _cells(CONTROL_TASK, arm, metrics, results),
            )
            for arm in arms
        ),
    )


def _in_order(arms: Sequence[Arm], results: Results) -> list[Arm]:
    """Return arms in the order of the settings' adapters, each adapter's in that of the experiments."""
    adapters = [BASE_ALONE, *results.params.adapters]
    families = [family for one in experiments(results.params) for family in one.families]
    labels = [setting.label for family in families for setting in family.settings]

    def place(arm: Arm) -> tuple[int, ...]:
        found = ((adapters, arm.adapter), (labels, arm.setting))
        return tuple(order.index(name) if name in order else len(order) for order, name in found)

    return sorted(arms, key=place)


def _metrics(
    task: str, headline: Metric, beside: Sequence[str], arms: Sequence[Arm], results: Results
) -> list[Metric]:
    """Return the headline's metric and those beside it that some arm has."""
    names = [headline.name, *(name for name in beside if name != headline.name)]
    found = [metric for name in names if (metric := find_metric(name)) is not None]
    return [
        metric
        for metric in found
        if metric == headline or any(_cell(task, arm, metric, results) is not None for arm in arms)
    ]


def _note(task: str, headline: Metric, arms: Sequence[Arm], results: Results) -> str:
    """Return over what the figures are, and what bold says of them."""
    figures = [figure for arm in arms if (figure := results.figure(task, arm, headline)) is not None]
    seeds = sorted({len(results.seeds_of(task, [arm])) for arm in arms})
    told = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
    conditions = max((figure.num_conditions for figure in figures), default=0)
    over = f", {conditions:,} conditions" if conditions else ""
    if seeds[-1] < MIN_SEEDS:
        bold = f"intervals are over conditions alone; nothing is bold with fewer than {MIN_SEEDS} seeds"
    else:
        bold = "bold where every other adapter is worse beyond the interval of the difference"
    return f"{told} {'seed' if seeds == [1] else 'seeds'}{over}; {bold}."


def _column(metric: Metric, results: Results) -> Column:
    title = metric.title(results.params.evaluate.judges)
    return Column(metric.name, title, metric.direction, metric.explanation)


def _cells(task: str, arm: Arm, metrics: Sequence[Metric], results: Results) -> dict[str, Estimate]:
    found = {metric.name: _cell(task, arm, metric, results) for metric in metrics}
    return {name: cell for name, cell in found.items() if cell is not None}


def _cell(task: str, arm: Arm, metric: Metric, results: Results) -> Estimate | None:
    """Return a value with its interval: over seeds and conditions, of a run's own number that of the run."""
    name = metric.name
    if arm.adapter == BASE_ALONE and name in OF_ADAPTERS:
        return None
    figure = results.figure(task, arm, metric)
    if figure is None:
        return None
    if name in COUNTS:
        return Estimate(figure.value)
    if figure.num_seeds == 1 and not figure.num_conditions:
        ends = [results.over_seeds(task, arm, f"{name}{end}") for end in BOUNDS]
        return Estimate(figure.value, *(of_run[0] for of_run in ends if of_run))
    return estimate_of(figure)


def _best(task: str, metric: Metric, arms: Sequence[Arm], results: Results) -> Arm | None:
    """Return the arm that every other adapter is worse than, beyond the interval of its difference."""
    compared = {
        arm: figure
        for arm in arms
        if arm.adapter != BASE_ALONE and (figure := results.figure(task, arm, metric)) is not None
    }
    if not compared or metric.direction == "neither":
        return None
    choose = min if metric.direction == "lower" else max
    leader = choose(compared, key=lambda arm: compared[arm].value)
    found = [results.difference(task, metric, leader, other) for other in compared if other != leader]
    differences = [one for one in found if one is not None]
    return leader if len(differences) == len(found) and stands_out(differences, metric.direction) else None


def _references(task: str, headline: Metric, arms: Sequence[Arm], results: Results) -> list[Row]:
    """Return the rows of what the headline's metric comes to on references, from the arm with most seeds."""
    known = max(arms, key=lambda arm: len(results.seeds_of(task, [arm])))
    paired = results.paired(task, headline, (known,)) if is_of_pictures(headline) else None
    if paired is None:
        return []
    return [
        Row(name, name, {headline.name: estimate_of(figure)}, is_reference=True)
        for name in REFERENCE_ARMS.values()
        if (figure := paired.get(name)) is not None
    ]


def _costs(task: str, arm: Arm, records: Mapping[Run, Record]) -> dict[str, Estimate]:
    """Return what an arm's trainings cost, where it is known."""
    costs = costs_of(records, task, arm.adapter, arm.setting)
    seconds = fastest(records, task, arm.adapter, [arm.setting])
    if not costs or seconds is None:
        return {}
    peak = max(cost.peak_memory_bytes for cost in costs) / 1e6
    return {SECONDS.key: Estimate(seconds), MEMORY.key: Estimate(peak)}
