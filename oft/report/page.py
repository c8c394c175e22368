"""The page: what `collect` read, drawn and written as one HTML file with PNG grids beside it.

Nothing on it is loaded from elsewhere, and nothing depends on the machine, the folder or the time of day. Its
words stand in template.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.evaluation.metric import REAL, RECONSTRUCTION
from oft.evaluation.registry import find_metric, headline_metrics
from oft.pictures import encode_png
from oft.report.edges import Reextract
from oft.report.gains import MetricGains, measure_gains
from oft.report.glossary import (
    ANGLE_COLUMNS,
    ANGLE_FORMS,
    MEAN_PICTURE_BASELINE,
    REASONS,
    STAGES,
    terms,
)
from oft.report.grids import printable
from oft.report.plan import title_of_dataset
from oft.report.results import (
    AnglesResults,
    CountsRow,
    ReportData,
    StageTelemetry,
    TaskResults,
    number,
)
from oft.report.scores import (
    format_quantity,
    format_setting,
    format_value,
    main_metric,
    reference_value,
)
from oft.report.sentences import format_interval
from oft.report.sheets import ANGLES_GRID, GRIDS_FOLDER, draw_sheets
from oft.report.views import (
    DIRECTIONS,
    Reextracted,
    anchor,
    figure_of,
    notes_by_piece,
    view_task,
)
from oft.storage import atomic_file, dump_yaml

if TYPE_CHECKING:
    from jinja2 import Environment

    from oft.params import Params

PAGE_NAME = "index.html"

_TEMPLATE = "template.html"
_TELEMETRY_TEMPLATE = "telemetry.html"


def render(report: ReportData, out: Path, *, reextract: Reextract | None = None) -> None:
    """Write ``index.html`` and ``grids/<task>.png`` into a folder; the same report gives the same bytes.

    Beside the tasks' grids there are contact sheets of their data, ``grids/data-<task>.png``, and
    ``grids/why-angles.png``, where that experiment was run.

    Args:
        report: what `collect` returned.
        out: made where it is missing.
        reextract: finds the condition again in a generated picture (`oft.report.edge_reextractor`); it is
            shown below each picture for which it returns one.
    """
    reextracted = {task.name: _reextract_conditions(task, reextract) for task in report.tasks}
    gains = {task.name: _measure_gains(task, report.params.seed) for task in report.tasks}
    words = {run.adapter: run.words for task in report.tasks for run in task.runs}
    adapters = sorted(words, key=lambda adapter: words[adapter].place)
    html = (
        _environment({adapter: words[adapter].title for adapter in adapters})
        .get_template(_TEMPLATE)
        .render(
            params=report.params,
            adapters=adapters,
            adapter_meanings={adapter: words[adapter].meaning for adapter in adapters},
            links=_view_links(report.tasks),
            dataset_titles=list(dict.fromkeys(task.dataset_title for task in report.tasks)),
            num_samples=sum(run.num_samples for task in report.tasks for run in task.runs),
            angles=_view_angles(report.angles, report.params) if report.angles else None,
            headlines=[
                _view_headline(task, adapters, gains[task.name], report.params.evaluate.judges)
                for task in report.tasks
            ],
            tasks=[
                view_task(task, reextracted[task.name], gains[task.name], report.params)
                for task in report.tasks
            ],
            counts=_view_counts(report.counts),
            count_splits=list(dict.fromkeys(row.split for row in report.counts)),
            notes=notes_by_piece(report.notes),
            settings=dump_yaml(report.params.model_dump(), width=110),
            terms=terms(report.params),
        )
    )
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(out / PAGE_NAME) as partial:
        # Captions are other people's text: half a surrogate pair must not stop the page.
        partial.write_bytes(html.encode("utf-8", errors="replace"))
    for name, sheet in draw_sheets(report, reextracted).items():
        with atomic_file(out / GRIDS_FOLDER / f"{name}.png") as partial:
            partial.write_bytes(encode_png(sheet))


def render_telemetry(telemetry: Sequence[StageTelemetry], target: Path) -> None:
    """Write a page with the seconds and memory of each stage (`oft.report.read_telemetry`).

    It is apart from the report because these figures differ from run to run.
    """
    keys = list(dict.fromkeys(key for entry in telemetry for key in entry.values))
    html = _environment({}).get_template(_TELEMETRY_TEMPLATE).render(telemetry=telemetry, keys=keys)
    with atomic_file(target) as partial:
        partial.write_bytes(html.encode("utf-8", errors="replace"))


def _environment(titles: Mapping[str, str]) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "adapter_title": titles.__getitem__,
        "printable": printable,
        "quantity": format_quantity,
        "setting": format_setting,
        "value": format_value,
        "without_unit": _without_unit,
    }
    return environment


def _without_unit(key: str) -> str:
    return re.sub(r"_?(seconds|bytes)$", "", key).replace("_", " ") or "time"


def _reextract_conditions(task: TaskResults, reextract: Reextract | None) -> Reextracted:
    if reextract is None or task.is_subject:
        return {}
    pictures = {
        (row.key, adapter): reextract(task.name, output.picture)
        for row in task.comparisons
        for adapter, output in row.outputs.items()
    }
    return {place: condition for place, condition in pictures.items() if condition is not None}


def _view_links(tasks: Sequence[TaskResults]) -> list[tuple[str, str]]:
    """Return anchor and label of each task: without its data set where no other task does the same."""
    short = [task.short_title for task in tasks]
    return [
        (anchor(task.name), task.short_title if short.count(task.short_title) == 1 else task.title)
        for task in tasks
    ]


def _measure_gains(task: TaskResults, seed: int) -> list[MetricGains]:
    """Return how far a task's adapters came: by its main metric, of a subject or style by each likeness."""
    main = main_metric(task.condition, task.runs)
    names = dict.fromkeys([main] if main else [])
    if task.is_subject or task.is_style:
        names |= dict.fromkeys(headline_metrics(task.condition))
    found = (measure_gains(task.condition, task.runs, name, seed) for name in names)
    return [gains for gains in found if gains is not None]


def _view_headline(
    task: TaskResults, adapters: Sequence[str], gains: Sequence[MetricGains], judges: str
) -> dict[str, Any]:
    metric = main_metric(task.condition, task.runs)
    known = find_metric(metric) if metric else None
    by_adapter = {run.adapter: run for run in task.runs}
    of_main = next((found for found in gains if found.metric.name == metric), None)
    return {
        "task": task.title,
        "anchor": anchor(task.name),
        "metric": known.title(judges) if known else metric,
        "direction": DIRECTIONS[known.direction] if known else "",
        "cells": [
            {
                "value": by_adapter[adapter].number(metric) if metric and adapter in by_adapter else None,
                **_view_closed(of_main, adapter),
            }
            for adapter in adapters
        ],
        "references": [
            reference_value(metric, suffix, task.runs) if metric else None
            for suffix in (RECONSTRUCTION, REAL)
        ],
    }


def _view_closed(gains: MetricGains | None, adapter: str) -> dict[str, str]:
    """Return the share of the distance that an adapter closed, in words and as a bar's width in per cent."""
    gain = gains.by_adapter.get(adapter) if gains else None
    if gain is None:
        return {"closed": "", "width": ""}
    if not gain.difference.excludes_zero:
        return {"closed": "no difference from the base seen", "width": ""}
    if gain.closed is None:
        return {"closed": "", "width": ""}
    width = 100 * min(max(gain.closed.value, 0.0), 1.0)
    return {"closed": f"{format_interval(gain.closed)} closed", "width": f"{width:.1f}"}


def _view_counts(rows: Sequence[CountsRow]) -> list[dict[str, Any]]:
    """Return one line for each stage and what it worked on, its splits beside each other."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault(
            (row.stage, row.name),
            {"stage": STAGES[row.stage], "title": row.title, "seen": {}, "kept": {}, "reasons": []},
        )
        line["seen"][row.split] = format_value(row.seen)
        line["kept"][row.split] = format_value(row.kept)
        for reason, count in row.dropped.items():
            plain = reason.removeprefix("annotation_")
            line["reasons"].append(
                {
                    "split": row.split,
                    "count": count,
                    "is_annotation": plain != reason,
                    "words": REASONS.get(plain, plain.replace("_", " ")),
                    "examples": [printable(name, 60) for name in row.offenders.get(reason, ())],
                }
            )
    return list(lines.values())


def _view_angles(angles: AnglesResults, params: Params) -> dict[str, Any]:
    return {
        "dataset_title": title_of_dataset(params.angles.dataset, params),
        "columns": ANGLE_COLUMNS,
        "rows": [
            [
                figure_of(picture, label, f"{label}, picture {place}")
                for label, picture in zip(ANGLE_COLUMNS, row, strict=True)
            ]
            for place, row in enumerate(angles.rows, start=1)
        ],
        "grid": f"{GRIDS_FOLDER}/{ANGLES_GRID}.png",
        "beats_mean": _beats_mean(angles.metrics),
        "forms": {**ANGLE_FORMS, "mean_picture": MEAN_PICTURE_BASELINE},
        "metrics": angles.metrics,
    }


def _beats_mean(metrics: Mapping[str, Any]) -> dict[str, bool] | None:
    """Return whether pictures from the angle alone, and from the magnitude alone, beat the mean picture."""
    psnr = {form: number(metrics.get(f"psnr_{form}")) for form in ("angle", "magnitude", "mean_picture")}
    angle, magnitude, mean = psnr.values()
    if angle is None or magnitude is None or mean is None:
        return None
    return {"angle": angle > mean, "magnitude": magnitude > mean}
