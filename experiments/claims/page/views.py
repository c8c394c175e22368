"""Findings as the page's template takes them: figures as text, intervals as places on a bar."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from experiments.claims.findings import (
    Chart,
    Claim,
    Column,
    Contrast,
    Estimate,
    Findings,
    Row,
    Series,
    Table,
    Verdict,
)
from experiments.claims.numbers import (
    choose_decimals,
    choose_digits,
    decimals_of,
    format_range,
    format_setting,
    format_value,
)
from experiments.claims.page.charts import specify_chart
from experiments.claims.page.scales import Bar, Scale, lay, span, span_around_zero, ticks
from experiments.claims.page.styles import Style


@dataclass(frozen=True)
class VerdictWords:
    """How a verdict is shown: a CSS class, a sign beside its words, and how claims of it are counted."""

    css: str
    sign: str
    one: str
    many: str


VERDICTS: Mapping[Verdict, VerdictWords] = {
    "holds": VerdictWords("holds", "✓", "holds", "hold"),
    "holds in part": VerdictWords("part", "±", "holds in part", "hold in part"),
    "does not hold": VerdictWords("fails", "✗", "does not hold", "do not hold"),
    "undecided": VerdictWords("undecided", "?", "is undecided", "are undecided"),
    "not measured": VerdictWords("unmeasured", "–", "is not measured", "are not measured"),
}
assert VERDICTS.keys() == set(get_args(Verdict))


@dataclass(frozen=True)
class Figure:
    """An estimate as text, its interval apart, and on the bar of its column; without a common axis no bar."""

    value: float
    text: str
    range: str
    bar: Bar | None
    is_best: bool = False


@dataclass(frozen=True)
class ContrastGroup:
    """A claim's contrasts on one task by one metric; its axis is the metric's in all tasks.

    Attributes:
        first: a contrast of the group: all agree in task, metric, number of conditions and seeds, and in what
            the claim wants.
        ticks: places and labels; `zero`: the place of zero.
        wanted: where the side that the claim wants begins and how wide it is.
    """

    first: Contrast
    ticks: Sequence[tuple[float, str]]
    zero: float
    wanted: Bar
    rows: Sequence[tuple[Contrast, Figure]]


@dataclass(frozen=True)
class ChartView:
    """A chart, its Vega-Lite specification as JSON, the styles of its legend and the rows of its table."""

    chart: Chart
    specification: str
    legend: Sequence[tuple[Series, Style]]
    rows: Sequence[tuple[Series, float, str, Figure]]


@dataclass(frozen=True)
class ClaimView:
    """A claim with what stands below it."""

    claim: Claim
    groups: Sequence[ContrastGroup]
    charts: Sequence[ChartView]


@dataclass(frozen=True)
class TableView:
    """A table whose cells are figures, None where nothing was measured, in the order of its columns."""

    table: Table
    rows: Sequence[tuple[Row, Sequence[Figure | None]]]


def summarise_claims(claims: Sequence[Claim]) -> str:
    """Return how many claims have each verdict, the paper's apart from further questions of ours.

    Of the paper's 11 claims, 3 hold, 1 does not hold, 7 are undecided; of 6 further questions, ...
    """
    of_paper = [claim for claim in claims if claim.in_paper]
    further = [claim for claim in claims if not claim.in_paper]
    parts = []
    if of_paper:
        parts.append(f"of the paper’s {_count(of_paper, 'claim')}, {_count_verdicts(of_paper)}")
    if further:
        parts.append(f"of {_count(further, 'further question')}, {_count_verdicts(further)}")
    words = "; ".join(parts)
    return words[:1].upper() + words[1:]


def _count(things: Sequence[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'s' if len(things) != 1 else ''}"


def _count_verdicts(claims: Sequence[Claim]) -> str:
    counts = Counter(claim.verdict for claim in claims)
    return ", ".join(
        f"{counts[verdict]} {words.one if counts[verdict] == 1 else words.many}"
        for verdict, words in VERDICTS.items()
        if counts[verdict]
    )


def view_claims(findings: Findings, styles: Mapping[str, Style]) -> list[ClaimView]:
    """Return each claim with its contrasts by metric and its charts.

    Args:
        styles: of the charts' series, by name.
    """
    return [
        ClaimView(
            claim,
            _group_contrasts(claim.contrasts),
            [view_chart(chart, styles) for chart in findings.charts if chart.claim == claim.name],
        )
        for claim in findings.claims
    ]


def _group_contrasts(contrasts: Sequence[Contrast]) -> list[ContrastGroup]:
    by_metric: dict[str, list[Estimate]] = {}
    groups: dict[tuple[str, str, str, int, int], list[Contrast]] = {}
    for one in contrasts:
        by_metric.setdefault(one.metric, []).append(one.estimate)
        key = (one.task_title, one.metric_title, one.expected, one.num_conditions, one.num_seeds)
        groups.setdefault(key, []).append(one)
    decimals = decimals_of(contrasts)
    return [
        _view_group(rows, span_around_zero(by_metric[rows[0].metric]), decimals[rows[0].metric])
        for rows in groups.values()
    ]


def _view_group(rows: Sequence[Contrast], scale: Scale, decimals: int) -> ContrastGroup:
    zero = scale.place(0)
    wanted = Bar(zero, 100 - zero, zero) if rows[0].expected == "above" else Bar(0, zero, zero)
    figures = [_figure(row.estimate, decimals, scale, signed=True) for row in rows]
    return ContrastGroup(rows[0], ticks(scale), zero, wanted, list(zip(rows, figures, strict=True)))


def view_chart(chart: Chart, styles: Mapping[str, Style]) -> ChartView:
    """Return a chart with its specification, legend and the rows of its table."""
    shown = [series for series in chart.series if series.points]
    decimals = choose_decimals(point.estimate for series in shown for point in series.points)
    digits = choose_digits(point.x for series in shown for point in series.points)
    return ChartView(
        chart,
        _to_json(specify_chart(chart, styles)),
        [(series, styles[series.name]) for series in shown],
        [
            (series, point.x, format_setting(point.x, digits), _figure(point.estimate, decimals, None))
            for series in shown
            for point in series.points
        ],
    )


def view_table(table: Table) -> TableView:
    """Return a table with each column's figures on one scale and with as many decimals."""
    cells = {column.key: _column_figures(column, table.rows) for column in table.columns}
    return TableView(
        table,
        [(row, [cells[column.key].get(row.name) for column in table.columns]) for row in table.rows],
    )


def _column_figures(column: Column, rows: Sequence[Row]) -> dict[str, Figure]:
    measured = [row for row in rows if column.key in row.cells]
    estimates = {row.name: row.cells[column.key] for row in measured}
    decimals = choose_decimals(estimates.values())
    # References lie far off: on their scale the adapters' intervals would be specks.
    compared = [row.cells[column.key] for row in measured if not row.is_reference]
    has_interval = any(estimate.low is not None for estimate in compared)
    scale = span(compared) if has_interval else None
    figures = {}
    for row in measured:
        one = estimates[row.name]
        shown = scale if scale is not None and (not row.is_reference or scale.holds(one)) else None
        figures[row.name] = _figure(one, decimals, shown, is_best=column.key in row.best)
    return figures


def _figure(
    estimate: Estimate, decimals: int, scale: Scale | None, *, signed: bool = False, is_best: bool = False
) -> Figure:
    return Figure(
        estimate.value,
        format_value(estimate, decimals, signed=signed),
        format_range(estimate, decimals),
        lay(estimate, scale) if scale is not None else None,
        is_best,
    )


def _to_json(value: Any) -> str:
    """Return JSON that can stand in a script element whatever text it holds."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
