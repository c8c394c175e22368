"""One task as the page's template takes it: pictures as addresses, tables as rows, curves as SVG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oft.evaluation.intervals import Interval
from oft.evaluation.metric import ADDED_BY_MAGNITUDES, BEFORE_MAGNITUDES, BOUNDS, Direction
from oft.evaluation.registry import find_metric, judged_by
from oft.pictures import data_uri, encode_jpeg, encode_png
from oft.report.figures import Line, draw_confusion, draw_curves
from oft.report.gains import MetricGains
from oft.report.glossary import CONDITIONS, FALLBACK_CONDITION, ConditionWords
from oft.report.grids import MAX_SIDE_PX, MIN_SIDE_PX, enlarge, printable
from oft.report.plan import describe_task
from oft.report.results import (
    Failure,
    Note,
    Picture,
    RunResults,
    SampleRow,
    ShownSample,
    TaskResults,
    number,
)
from oft.report.scores import format_value, main_metric, metric_groups
from oft.report.sentences import describe_gains, describe_parameters, format_difference

if TYPE_CHECKING:
    from oft.params import Params

DIRECTIONS: dict[Direction, str] = {
    "higher": "↑ higher is better",
    "lower": "↓ lower is better",
    "neither": "",
}

Reextracted = Mapping[tuple[str, str], Picture]
"""By key and adapter, the condition extracted from the output."""

VALIDATION_SIDE_PX = 384
"""Validation grids, several pictures each, are reduced to this: three have room beside each other."""

_JPEG_QUALITY = 90
_CURVE_TITLES = {"loss": "loss", "val_loss": "validation loss", "learning_rate": "learning rate"}
"""The curves that come first, in their order."""
_PHASE_TITLES = {"train": "Training", "magnitude": "Magnitude fitting"}


@dataclass(frozen=True)
class Column:
    """One column of a comparison: an adapter's pictures, or the condition or target of the data."""

    label: str
    part: str
    adapter: str = ""

    def picture(self, row: SampleRow) -> Picture | None:
        """Return the column's picture of a row, None where there is none."""
        if self.adapter:
            output = row.outputs.get(self.adapter)
            return output.picture if output else None
        return row.condition if self.part == "condition" else row.target

    def reextracted(self, row: SampleRow, found: Reextracted) -> Picture | None:
        """Return the condition extracted from the column's picture of a row."""
        return found.get((row.key, self.adapter))


def anchor(name: str) -> str:
    """Return a name as an id and file name: ``[A-Za-z0-9_-]`` alone."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "unnamed"


def picture_uri(picture: Picture, max_side_px: int = MAX_SIDE_PX) -> str:
    """Return a picture as an address that holds its bytes.

    Small pictures are lossless. Larger ones are reduced to what the page shows and stored as JPEG: they are
    for looking at, the originals stay in the samples.
    """
    if max(picture.shape[:2]) <= MIN_SIDE_PX:
        return data_uri(encode_png(picture), "png")
    return data_uri(encode_jpeg(enlarge(picture, max_side_px=max_side_px), _JPEG_QUALITY), "jpeg")


def figure_of(picture: Picture | None, label: str, alt: str, again: Picture | None = None) -> dict[str, Any]:
    """Return a picture with its label, and below it the condition extracted from it."""
    return {
        "src": picture_uri(picture) if picture is not None else "",
        "small": picture is not None and max(picture.shape[:2]) <= MIN_SIDE_PX,
        "label": label,
        "alt": alt,
        "again": picture_uri(again) if again is not None else "",
    }


def condition_words(task: TaskResults) -> ConditionWords:
    """Return the words for a task's condition."""
    return CONDITIONS.get(task.condition, FALLBACK_CONDITION)


def sheet_name(task: TaskResults) -> str:
    """Return the name of a task's contact sheet; with its hyphen no task of the params is called so."""
    return f"data-{anchor(task.name)}"


def task_columns(task: TaskResults) -> list[Column]:
    """Return a task's columns; what no row has (a subject's condition, missing shards) is left out."""
    rows = (*task.comparisons, *task.more_comparisons)
    columns = []
    if any(row.condition is not None for row in rows):
        columns.append(Column(condition_words(task).column, "condition"))
    if any(row.target is not None for row in rows):
        columns.append(Column("Target", "target"))
    return [*columns, *(Column(run.words.title, "run", run.adapter) for run in task.runs)]


def notes_by_piece(notes: Iterable[Note]) -> dict[str, list[str]]:
    """Return the sentences of notes by what they are about."""
    grouped: dict[str, list[str]] = {}
    for note in notes:
        grouped.setdefault(note.piece, []).append(note.text)
    return grouped


def view_task(
    task: TaskResults, reextracted: Reextracted, gains: Sequence[MetricGains], params: Params
) -> dict[str, Any]:
    """Return all that the template shows of a task.

    Args:
        gains: how far its adapters came, by each metric that says whether it was learned.
    """
    judges = params.evaluate.judges
    columns = task_columns(task)
    titles = {run.adapter: run.words.title for run in task.runs}
    return {
        "name": task.name,
        "anchor": anchor(task.name),
        "title": task.title,
        "explanation": condition_words(task).explanation,
        "is_subject": task.is_subject,
        "is_style": task.is_style,
        "runs": task.runs,
        "trained_on": {
            run.adapter: describe_task(run.trained_on, params).title(run.trained_on)
            for run in task.runs
            if run.trained_on
        },
        "columns": [column.label for column in columns],
        "rows": [_view_row(row, columns, reextracted) for row in task.comparisons],
        "more_rows": [_view_row(row, columns, {}) for row in task.more_comparisons],
        "has_same_seeds": all(len(row.seeds) == 1 for row in task.comparisons),
        "has_reextracted": bool(reextracted),
        "instances": [figure_of(e.picture, "", f"the subject's own picture {e.key}") for e in task.instances],
        "gains": [describe_gains(found, task.runs, judges) for found in gains],
        "parameters": [text for run in task.runs if (text := describe_parameters(run))],
        "groups": [
            {"title": title, "is_protocol": group == "protocol", "rows": rows}
            for title, group, rows in metric_groups(task.runs, judges, params.seed)
        ],
        "judge": _confusion_judge(task, judges),
        "arrows": DIRECTIONS,
        "num_images": _num_images(task.runs),
        "curves": _view_curves(task),
        "validation": [_view_validation(run) for run in task.runs if run.validation],
        "magnitude": [view for run in task.runs if (view := _view_magnitude(run, judges))],
        "summaries": _view_summaries(task.runs),
        "confusions": [_view_confusion(task, run) for run in task.runs if run.confusion],
        "failures": [_view_failure(failure, titles[failure.adapter], judges) for failure in task.failures],
        "examples": [_view_example(example) for example in task.examples],
        "examples_split": task.examples_split,
        "contact_sheet": f"{sheet_name(task)}.png",
        "card": [(term, printable(text)) for term, text in task.card.items()],
        "shard_samples": task.num_shard_samples,
        "notes": notes_by_piece(task.notes),
    }


def _view_row(row: SampleRow, columns: Sequence[Column], found: Reextracted) -> dict[str, Any]:
    caption = printable(row.caption)
    return {
        "caption": caption,
        "kind": row.kind,
        "key": row.key,
        "seeds": row.seeds,
        "outputs": row.outputs,
        "figures": [
            figure_of(
                column.picture(row),
                column.label,
                f"{column.label}: {caption or row.key}",
                column.reextracted(row, found),
            )
            for column in columns
        ],
    }


def _view_failure(failure: Failure, title: str, judges: str) -> dict[str, Any]:
    known = find_metric(failure.score_name)
    columns = [
        Column("Condition", "condition"),
        Column("Target", "target"),
        Column(title, "run", failure.adapter),
    ]
    shown = [c for c in columns if c.adapter or c.picture(failure.comparison) is not None]
    return {
        **_view_row(failure.comparison, shown, {}),
        "score_title": known.title(judges) if known else failure.score_name,
        "score": failure.score,
    }


def _view_example(example: ShownSample) -> dict[str, Any]:
    caption = printable(example.caption)
    return {
        "caption": caption,
        "figures": [
            figure_of(picture, label, f"{label}: {caption or example.key}")
            for label, picture in (("Condition", example.condition), ("Picture", example.picture))
            if picture is not None
        ],
    }


def _confusion_judge(task: TaskResults, judges: str) -> str:
    """Return the judge whose classes a confusion table shows."""
    metric = main_metric(task.condition, task.runs)
    return (judged_by(metric, judges) if metric else "") or "judge"


def _num_images(runs: Sequence[RunResults]) -> str:
    counts = (run.metrics["num_images"] for run in runs if "num_images" in run.metrics)
    return " / ".join(dict.fromkeys(map(format_value, counts)))


def _view_curves(task: TaskResults) -> list[dict[str, str]]:
    found: dict[tuple[str, str], list[Line]] = {}
    for run in task.runs:
        for curve in run.curves:
            line = Line(curve, run.words.title, run.words.place)
            found.setdefault((curve.phase, curve.name), []).append(line)

    def place(named: tuple[str, str]) -> tuple[int, int, str]:
        phase, name = named
        order = [*_CURVE_TITLES, stem_of(name)]
        return list(_PHASE_TITLES).index(phase), order.index(stem_of(name)), name

    views = []
    for place_on_page, (phase, name) in enumerate(sorted(found, key=place)):
        label = _CURVE_TITLES.get(stem_of(name), name.replace("_", " "))
        svg_name = f"curve-{anchor(task.name)}-{place_on_page}".lower()
        svg = draw_curves(found[phase, name], svg_name, label, is_noisy=stem_of(name) == "loss")
        views.append({"title": f"{_PHASE_TITLES[phase]}: {label}", "svg": svg})
    return views


def _view_validation(run: RunResults) -> dict[str, Any]:
    title = run.words.title
    return {
        "title": title,
        "figures": [
            {
                **figure_of(
                    None, f"step {format_value(grid.step)}", f"{title}, validation grid of step {grid.step}"
                ),
                "src": picture_uri(grid.picture, VALIDATION_SIDE_PX),
            }
            for grid in run.validation
        ],
    }


def stem_of(name: str) -> str:
    """Return the last part of a curve's name."""
    return name.rsplit("/", 1)[-1]


def _view_confusion(task: TaskResults, run: RunResults) -> dict[str, str]:
    title = run.words.title
    svg_name = f"confusion-{anchor(task.name)}-{anchor(run.adapter)}".lower()
    label = f"{title}: share of each class's pixels by class found, per cent"
    return {"title": title, "svg": draw_confusion(run.confusion, svg_name, label)}


def _view_magnitude(run: RunResults, judges: str) -> dict[str, Any] | None:
    """Return loss and scores before and after magnitude fitting; None where it left no loss."""
    summary = run.summaries.get("magnitude", {})
    if not {"val_loss_before", "val_loss_after"} & summary.keys():
        return None
    before, after = (number(summary.get(f"val_loss_{when}")) for when in ("before", "after"))
    change = 100 * (after - before) / before if before and after is not None else None
    scores = [
        {
            "title": metric.title(judges),
            "before": run.number(f"{name}{BEFORE_MAGNITUDES}"),
            "after": run.number(name),
            "added": _interval_of(run, f"{name}{ADDED_BY_MAGNITUDES}"),
        }
        for name in run.metrics
        if f"{name}{BEFORE_MAGNITUDES}" in run.metrics and (metric := find_metric(name))
    ]
    return {"adapter": run.adapter, "before": before, "after": after, "change": change, "scores": scores}


def _interval_of(run: RunResults, key: str) -> str:
    """Return a difference with its interval, '' where the file has none."""
    values = [run.number(name) for name in (key, *(f"{key}{end}" for end in BOUNDS))]
    value, low, high = values
    return (
        "" if value is None or low is None or high is None else format_difference(Interval(value, low, high))
    )


def _view_summaries(runs: Sequence[RunResults]) -> dict[str, Any]:
    """Return the values of the training summaries: a line for each, a column for each trained adapter."""
    trained = [run for run in runs if any(run.summaries.values())]
    lines = []
    for phase, title in _PHASE_TITLES.items():
        columns = [run.summaries.get(phase, {}) for run in trained]
        for key in dict.fromkeys(key for column in columns for key in column):
            lines.append({"phase": title, "key": key, "cells": [column.get(key) for column in columns]})
    return {"adapters": [run.adapter for run in trained], "lines": lines}
