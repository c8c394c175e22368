"""What the tables say about the metrics: arithmetic and wording, no drawing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oft.evaluation.metric import BESIDE, BOUNDS, REAL, RECONSTRUCTION, REFERENCES, Direction, Group
from oft.evaluation.registry import find_metric, headline_metrics
from oft.report.gains import find_clear_best
from oft.report.glossary import GROUP_TITLES
from oft.report.results import PictureScores, RunResults, number

NO_VALUE = "–"
"""What a table shows where there is no value."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class MetricRow:
    """One key of ``metrics.json`` over all adapters of a task.

    Attributes:
        key: as it stands in the file.
        title: in words.
        meaning: '' where the glossary knows nothing.
        better: ``higher``, ``lower`` or ``neither``.
        cells: one text for each adapter.
        best: which cells are better than all others beyond chance.
        references: key and text on the target through the autoencoder, then on real pictures; the key is ''
            where there is none.
    """

    key: str
    title: str
    meaning: str
    better: Direction
    cells: tuple[str, ...]
    best: tuple[bool, ...]
    references: tuple[tuple[str, str], ...]


def main_metric(condition: str, runs: Sequence[RunResults]) -> str | None:
    """Return the metric that a task is judged by: its condition's, else any that has a reference."""
    known = {key for run in runs for key in run.metrics}
    candidates = [key for key in headline_metrics(condition) if key in known]
    candidates += sorted(key for key in known if any(f"{key}{suffix}" in known for suffix in REFERENCES))
    return next((key for key in candidates if any(run.number(key) is not None for run in runs)), None)


def reference_value(metric: str, suffix: str, runs: Sequence[RunResults]) -> float | None:
    """Return a metric's value on a reference, as the first run that has one gives it."""
    values = (run.number(f"{metric}{suffix}") for run in runs)
    return next((value for value in values if value is not None), None)


def lower_is_better(metric: str) -> bool:
    """Return whether lower values of a metric are better."""
    known = find_metric(metric)
    return known is not None and known.direction == "lower"


def choose_score(condition: str, pictures: Sequence[PictureScores]) -> str | None:
    """Return the score that tells failures: the task's headline, else one whose better direction is known."""
    names = dict.fromkeys(name for picture in pictures for name in picture.scores)
    known = [name for name in names if (metric := find_metric(name)) and metric.direction != "neither"]
    return next((name for name in (*headline_metrics(condition), *known) if name in names), None)


def metric_groups(
    runs: Sequence[RunResults], judges: str, seed: int
) -> list[tuple[str, Group, list[MetricRow]]]:
    """Return (title, group, rows) of every key in any run's metrics but references and bounds.

    Args:
        judges: the setting ``evaluate.judges``.
        seed: of the bootstrap that decides what is bold.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.metrics))
    rows: dict[Group, list[MetricRow]] = {group: [] for group in GROUP_TITLES}
    for key in keys:
        if not any(key.endswith(suffix) and key.removesuffix(suffix) in keys for suffix in BESIDE):
            rows[_group_of(key, runs)].append(_metric_row(key, runs, judges, seed))
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
        return as_power_of_ten(f"{value:.1e}")
    text = f"{value:,.3f}" if size < 10 else f"{value:,.1f}"
    return text.replace("-", "−")


def as_power_of_ten(scientific: str) -> str:
    """Return a number as Python writes it, -3.1e-07, as readers do: −3.1 × 10⁻⁷."""
    digits, exponent = scientific.split("e")
    return f"{digits} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}".replace("-", "−")


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
    if any(f"{key}{suffix}" in run.metrics for run in runs for suffix in REFERENCES):
        return "score"
    return "other"


def _metric_row(key: str, runs: Sequence[RunResults], judges: str, seed: int) -> MetricRow:
    known = find_metric(key)
    group = _group_of(key, runs)
    write: Callable[[Any], str] = format_setting if group == "protocol" else format_value
    if known and known.group == "adapter" and known.unit == "share":
        write = format_share
    best = find_clear_best(runs, known, seed) if known and group == "score" else None
    return MetricRow(
        key=key,
        title=known.title(judges) if known else key.replace("_", " "),
        meaning=known.explanation if known else "",
        better=known.direction if known else "neither",
        cells=tuple(_cell(run.metrics, key, write) for run in runs),
        best=tuple(run.adapter == best for run in runs),
        references=tuple(_reference_cell(f"{key}{suffix}", runs) for suffix in (RECONSTRUCTION, REAL)),
    )


def _cell(metrics: Mapping[str, Any], key: str, write: Callable[[Any], str]) -> str:
    """Return a value, with its interval where the file has one."""
    if key not in metrics:
        return NO_VALUE
    bounds = [metrics.get(f"{key}{end}") for end in BOUNDS]
    written = write(metrics[key])
    return written if None in bounds else f"{written} [{', '.join(map(write, bounds))}]"


def _reference_cell(key: str, runs: Sequence[RunResults]) -> tuple[str, str]:
    texts = dict.fromkeys(format_value(run.metrics[key]) for run in runs if key in run.metrics)
    return (key, " / ".join(texts)) if texts else ("", NO_VALUE)
