"""What each task's adapters came to, in a row each: for the terminal, the README, other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oft.adapters.registry import BASE_ALONE
from oft.evaluation.intervals import Interval
from oft.evaluation.metric import kind_of
from oft.evaluation.registry import find_metric
from oft.report.gains import MetricGains, measure_gains, reference_of
from oft.report.results import ReportData, TaskResults
from oft.report.scores import format_value, main_metric, reference_value
from oft.report.sentences import format_difference

HEADLINES_NAME = "headlines.json"
METRICS_FOLDER = "metrics"
"""Holds ``<task>.json``, so few numbers that ``dvc metrics show report/metrics/*.json`` fits a terminal."""
Headline = Mapping[str, Any]
"""One adapter on one task.

``task``, ``adapter``: their names; ``title``, ``adapter_title``; ``kind``: control, subject or style.
``is_hint``: it is the hint encoder alone.
``metric``, ``metric_title``, ``direction``; by that metric ``value``, ``base``, ``hint``, ``ceiling``, None
where there is none. ``difference``: [value, low, high] of the adapter's less that of the one that ``over``
names, hint or base, paired over ``num_conditions``."""


def headlines(report: ReportData) -> list[dict[str, Any]]:
    """Return a row of each adapter on each task, in the report's order; the base alone has none."""
    return [row for task in report.tasks for row in _of_task(task, report.params)]


def _of_task(task: TaskResults, params: Any) -> list[dict[str, Any]]:
    metric = main_metric(task.condition, task.runs)
    known = find_metric(metric) if metric else None
    gains = measure_gains(task.condition, task.runs, metric, params.seed) if metric else None
    values = {run.adapter: run.number(metric) if metric else None for run in task.runs}
    hint = next((run.adapter for run in task.runs if run.words.is_hint_alone), None)
    rows = []
    for run in task.runs:
        if run.adapter == BASE_ALONE:
            continue
        over, difference = _difference(gains, run.adapter)
        rows.append(
            {
                "task": task.name,
                "kind": kind_of(task.condition),
                "title": task.title,
                "adapter": run.adapter,
                "adapter_title": run.words.title,
                "is_hint": run.words.is_hint_alone,
                "metric": metric,
                "metric_title": known.title(params.evaluate.judges) if known else metric,
                "direction": known.direction if known else "neither",
                "value": values[run.adapter],
                "base": values.get(BASE_ALONE),
                "hint": values[hint] if hint else None,
                "ceiling": reference_value(metric, reference_of(task.condition), task.runs)
                if metric
                else None,
                "over": over,
                "difference": difference,
                "num_conditions": gains.num_conditions if gains else None,
            }
        )
    return rows


def _difference(gains: MetricGains | None, adapter: str) -> tuple[str | None, list[float] | None]:
    gain = gains.by_adapter.get(adapter) if gains else None
    if gain is None:
        return None, None
    if gain.over_hint is not None:
        return "hint", list(gain.over_hint)
    return "base", list(gain.difference)


def metrics_by_task(rows: Sequence[Headline]) -> dict[str, dict[str, float]]:
    """Return each task's headline metric by adapter, the base alone and the ceiling beside; what is there."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        values = {"base": row["base"], row["adapter"]: row["value"], "ceiling": row["ceiling"]}
        of_task = found.setdefault(row["task"], {})
        of_task |= {name: value for name, value in values.items() if value is not None}
    return found


def headline_table(rows: Sequence[Headline], markdown: bool = False) -> str:
    """Return rows of `headlines` as a table of text, in which the hint encoder alone is a column.

    Args:
        markdown: as Markdown's table, with tasks by their titles instead of their names.
    """
    head = ("task", "metric", "base", "hint alone", "adapter", "value", "ceiling", "adds, with 95 % interval")
    lines = [list(head)]
    before: tuple[str, str] | None = None
    for row in _without_hint(rows):
        is_first = (row["task"], row["metric"]) != before
        before = row["task"], row["metric"]
        of_task = [row["title" if markdown else "task"], _metric(row), *_shown(row, "base", "hint")]
        adapter = [row["adapter_title"], *_shown(row, "value", "ceiling"), _added(row)]
        lines.append([*(of_task if is_first else [""] * len(of_task)), *adapter])
    if markdown:
        lines.insert(1, ["---"] * len(head))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(map(str.ljust, line, widths)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def _without_hint(rows: Sequence[Headline]) -> list[Headline]:
    """Return the rows but for those of the hint encoder alone beside other adapters of the task."""
    others = {row["task"] for row in rows if not row["is_hint"]}
    return [row for row in rows if not (row["is_hint"] and row["task"] in others)]


def _shown(row: Headline, *keys: str) -> list[str]:
    return ["" if row[key] is None else format_value(row[key]) for key in keys]


def _metric(row: Headline) -> str:
    arrow = {"higher": " ↑", "lower": " ↓"}.get(row["direction"], "")
    return f"{row['metric_title'] or 'not measured'}{arrow}"


def _added(row: Headline) -> str:
    if row["difference"] is None:
        return ""
    return f"{format_difference(Interval(*row['difference']))} over {row['over']}"
