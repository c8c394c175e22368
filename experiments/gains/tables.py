"""Comparisons as markdown that a page can cite, and every single score as one tidy table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from experiments.gains.comparison import Estimate, SettingScore, TaskRuns
from oft.evaluation.registry import find_metric
from oft.storage import atomic_file

NONE = "–"
SCORE_DIGITS, LOSS_DIGITS = 4, 7


class TidyRow(NamedTuple):
    """One score of one run; without key and repeat it is of all its pictures."""

    run: str
    task: str
    adapter: str
    seed: int
    key: str
    repeat: int | str
    metric: str
    value: float


def tidy_rows(runs: TaskRuns, names: Mapping[int, str]) -> Iterator[TidyRow]:
    """Yield every number that the runs of a task have; a metric's suffix says that it is of the target.

    Args:
        names: the name of each seed's run.
    """
    for adapter, measured in runs.arms.items():
        for seed, one in zip(runs.seeds, measured, strict=True):
            start = (names[seed], runs.task, adapter, seed)
            for row in one.pictures:
                yield from _numbers((*start, row["key"], row["index"]), row)
            yield from _numbers((*start, "", ""), one.metrics)


def _numbers(
    start: tuple[str, str, str, int, str, int | str], values: Mapping[str, object]
) -> Iterator[TidyRow]:
    for name, value in sorted(values.items()):
        if name not in ("key", "index", "seed") and isinstance(value, int | float):
            yield TidyRow(*start, name, float(value))


def write_tidy(target: Path, rows: Iterable[TidyRow]) -> None:
    """Write rows as CSV, whole or not at all."""
    with atomic_file(target) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(TidyRow._fields)
        writer.writerows(rows)


def render_gains(estimates: Sequence[Estimate], level: float, judges: str) -> str:
    """Return the estimates as markdown: a table for each metric of each task.

    Args:
        judges: the setting ``evaluate.judges``.
    """
    parts = []
    for (task, metric), group in groupby(estimates, key=lambda one: (one.task, one.metric)):
        rows = list(group)
        seeds = list(dict.fromkeys(seed for row in rows for seed in row.by_seed))
        counted = f", {rows[0].num_conditions} conditions" if rows[0].num_conditions else ""
        lines = [
            f"## {task}: {_title(metric, judges)}",
            "",
            f"{_count(len(seeds), 'seed')}{counted}{_direction(metric)}.",
            "",
            *markdown_table(
                ("", "mean", f"{level:.0%} interval", *(f"seed {seed}" for seed in seeds)),
                [(row.quantity, *_cells(row, seeds)) for row in rows],
            ),
        ]
        notes = [f"{row.quantity}: {row.note}." for row in rows if row.note]
        parts.append("\n".join([*lines, *(["", *notes] if notes else [])]))
    return "\n\n".join(parts)


def render_ranking(title: str, metric: str, rows: Sequence[SettingScore], level: float, judges: str) -> str:
    """Return a task's settings as a markdown table, the best first.

    Args:
        title: what the settings are of.
        judges: the setting ``evaluate.judges``.
    """
    seeds = list(rows[0].by_seed)
    columns = ("setting", "mean", f"{level:.0%} interval", "behind the best", f"{level:.0%} interval")
    lines = markdown_table(
        (*columns, *(f"seed {seed}" for seed in seeds)),
        [
            (
                row.setting,
                _number(row.value),
                _range(row.low, row.high),
                _number(row.behind),
                _range(row.behind_low, row.behind_high),
                *(_number(row.by_seed[seed]) for seed in seeds),
            )
            for row in rows
        ],
    )
    return "\n".join([f"## {title}: {_title(metric, judges)}", "", *lines])


def _title(metric: str, judges: str) -> str:
    """Return a metric's title, which names its judge, and its key."""
    declared = find_metric(metric)
    return f"{declared.title(judges) if declared is not None else 'Validation loss'} (`{metric}`)"


def _direction(metric: str) -> str:
    declared = find_metric(metric)
    return "; lower is better" if declared is None or declared.direction == "lower" else ""


def _cells(row: Estimate, seeds: Sequence[int]) -> list[str]:
    """Return mean, interval and the value of each seed."""
    digits = LOSS_DIGITS if find_metric(row.metric) is None else SCORE_DIGITS
    interval = NONE if row.low is None or row.high is None else _range(row.low, row.high, digits)
    return [
        _number(row.value, digits),
        interval,
        *(_number(row.by_seed.get(seed), digits) for seed in seeds),
    ]


def _number(value: float | None, digits: int = SCORE_DIGITS) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _range(low: float, high: float, digits: int = SCORE_DIGITS) -> str:
    return f"[{_number(low, digits)}, {_number(high, digits)}]"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], num_text: int = 1) -> list[str]:
    """Return the lines of a markdown table, columns padded so that it reads as plain text too.

    Args:
        head, rows: all of one length; no cell holds ``|``.
        num_text: how many columns, from the left, hold text; the others stand to the right.
    """
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column < num_text else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if column < num_text else f"{'-' * (width - 1)}:" for column, width in enumerate(widths)
    ]
    return [line(head), f"| {' | '.join(rule)} |", *map(line, rows)]
