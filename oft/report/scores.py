"""What the tables say about the metrics: arithmetic and wording, no drawing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oft.adapters.registry import BASE_ALONE
from oft.evaluation.metric import Direction, Group
from oft.evaluation.registry import find_metric, headline_metrics
from oft.report.glossary import CEILING, GROUP_TITLES
from oft.report.results import PictureScores, RunResults, number

NO_VALUE = "–"
"""What a table shows where there is no value."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Headline:
    """How far one adapter got on one task's main metric.

    Attributes:
        value: the adapter's score.
        closed: the share of the distance between base and ceiling that it closed, None where there is none.
    """

    value: float
    closed: float | None


@dataclass(frozen=True)
class MetricRow:
    """One key of ``metrics.json`` over all adapters of a task.

    Attributes:
        key: as it stands in the file.
        title: in words.
        meaning: '' where the glossary knows nothing.
        better: ``higher``, ``lower`` or ``neither``.
        cells: one text for each adapter.
        best: which cells hold the best value.
        ceiling_key: the key of the ceiling, '' where there is none.
        ceiling: its text.
    """

    key: str
    title: str
    meaning: str
    better: Direction
    cells: tuple[str, ...]
    best: tuple[bool, ...]
    ceiling_key: str
    ceiling: str


def main_metric(condition: str, runs: Sequence[RunResults]) -> str | None:
    """Return the metric that a task is judged by: its condition's, else any that has a ceiling."""
    known = {key for run in runs for key in run.metrics}
    candidates = [key for key in headline_metrics(condition) if key in known]
    candidates += sorted(key for key in known if f"{key}{CEILING}" in known)
    return next((key for key in candidates if any(run.number(key) is not None for run in runs)), None)


def ceiling_of(metric: str, runs: Sequence[RunResults]) -> float | None:
    """Return a metric's value on real pictures, as the first run that has one gives it."""
    values = (run.number(f"{metric}{CEILING}") for run in runs)
    return next((value for value in values if value is not None), None)


def headline(metric: str, run: RunResults, runs: Sequence[RunResults]) -> Headline | None:
    """Return a run's score and (score - base alone) / (ceiling - base alone); None without a score."""
    value = run.number(metric)
    if value is None:
        return None
    base = next((other.number(metric) for other in runs if other.adapter == BASE_ALONE), None)
    ceiling = ceiling_of(metric, [run, *runs])
    return Headline(value, None if run.adapter == BASE_ALONE else closed_share(value, base, ceiling, metric))


def closed_share(value: float, base: float | None, ceiling: float | None, metric: str) -> float | None:
    """Return (value - base) / (ceiling - base), None where the ceiling is not better than the base."""
    if base is None or ceiling is None:
        return None
    distance = base - ceiling if lower_is_better(metric) else ceiling - base
    return (value - base) / (ceiling - base) if distance > 0 else None


def lower_is_better(metric: str) -> bool:
    """Return whether lower values of a metric are better."""
    known = find_metric(metric)
    return known is not None and known.direction == "lower"


def choose_score(condition: str, pictures: Sequence[PictureScores]) -> str | None:
    """Return the score that tells failures: the task's headline, else one whose better direction is known."""
    names = dict.fromkeys(name for picture in pictures for name in picture.scores)
    known = [name for name in names if (metric := find_metric(name)) and metric.direction != "neither"]
    return next((name for name in (*headline_metrics(condition), *known) if name in names), None)


def metric_groups(runs: Sequence[RunResults]) -> list[tuple[str, Group, list[MetricRow]]]:
    """Return (title, group, rows) of every key in any run's metrics; ceilings stand beside their metric."""
    keys = list(dict.fromkeys(key for run in runs for key in run.metrics))
    rows: dict[Group, list[MetricRow]] = {group: [] for group in GROUP_TITLES}
    for key in keys:
        if not (key.endswith(CEILING) and key.removesuffix(CEILING) in keys):
            rows[_group_of(key, runs)].append(_metric_row(key, runs))
    return [(GROUP_TITLES[group], group, found) for group, found in rows.items() if found]


def format_value(value: Any) -> str:
    """Return a value of ``metrics.json`` as a reader expects it: 1,024; 0.512; 3.1 × 10⁻⁷; yes."""
    match value:
        case None:
            return NO_VALUE
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return _format_float(value)
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)


def format_share(share: float | None) -> str:
    """Return a share in per cent, without decimals."""
    return NO_VALUE if share is None else f"{round(100 * share)} %".replace("-", "−")


def _format_float(value: float) -> str:
    if not math.isfinite(value):
        return "not defined" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    size = abs(value)
    if value == 0:
        return "0"
    if size < 1e-3 or size >= 1e6:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}".replace("-", "−")
    text = f"{value:,.3f}" if size < 10 else f"{value:,.1f}"
    return text.replace("-", "−")


def format_setting(value: Any) -> str:
    """Return a setting with the figures it was given: 3, not 3.000; 20231, not 20,231."""
    plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return f"{value:.12g}" if plain else format_value(value)


def format_quantity(value: Any, key: str) -> str:
    """Return a measured value in the unit that the end of its name says: 1 min 35 s, 3.0 GiB."""
    amount = number(value)
    if amount is None:
        return format_value(value)
    if key.endswith("seconds"):
        return f"{amount:.1f} s" if amount < 60 else f"{int(amount) // 60} min {int(amount) % 60} s"
    if key.endswith("bytes"):
        return f"{amount / 2**20:,.0f} MiB" if amount < 2**30 else f"{amount / 2**30:.1f} GiB"
    return f"{amount:,.4g}" if isinstance(value, float) else format_value(value)


def _group_of(key: str, runs: Sequence[RunResults]) -> Group:
    known = find_metric(key)
    if known is not None:
        return known.group
    if any(f"{key}{CEILING}" in run.metrics for run in runs):
        return "score"
    return "other"


def _metric_row(key: str, runs: Sequence[RunResults]) -> MetricRow:
    known = find_metric(key)
    better: Direction = known.direction if known else "neither"
    group = _group_of(key, runs)
    write = format_setting if group == "protocol" else format_value
    values = [run.number(key) for run in runs]
    present = [value for value in values if value is not None]
    best = None
    if group == "score" and better != "neither" and len(set(present)) > 1:
        best = min(present) if better == "lower" else max(present)
    ceiling_key = f"{key}{CEILING}"
    ceilings = dict.fromkeys(
        format_value(run.metrics[ceiling_key]) for run in runs if ceiling_key in run.metrics
    )
    return MetricRow(
        key=key,
        title=known.label if known else key.replace("_", " "),
        meaning=known.explanation if known else "",
        better=better,
        cells=tuple(write(run.metrics[key]) if key in run.metrics else NO_VALUE for run in runs),
        best=tuple(best is not None and value == best for value in values),
        ceiling_key=ceiling_key if ceilings else "",
        ceiling=" / ".join(ceilings) if ceilings else NO_VALUE,
    )
