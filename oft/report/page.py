"""The page: what `collect` read, drawn and written as one HTML file with PNG grids beside it.

Nothing on it is loaded from elsewhere, and nothing depends on the machine, the folder or the time of day. Its
words stand in template.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.evaluation.registry import find_metric
from oft.pictures import encode_png
from oft.prepare.card_text import describe_source
from oft.report.edges import Reextract
from oft.report.glossary import (
    ANGLE_COLUMNS,
    ANGLE_FORMS,
    MEAN_PICTURE_BASELINE,
    REASONS,
    STAGES,
    TERMS,
)
from oft.report.grids import printable
from oft.report.results import (
    AnglesResults,
    CountsRow,
    ReportData,
    StageTelemetry,
    TaskResults,
    number,
)
from oft.report.scores import (
    ceiling_of,
    format_quantity,
    format_setting,
    format_share,
    format_value,
    headline,
    main_metric,
)
from oft.report.sheets import ANGLES_GRID, GRIDS_FOLDER, draw_sheets
from oft.report.views import (
    DIRECTIONS,
    Reextracted,
    anchor,
    figure_of,
    notes_by_piece,
    task_title,
    view_task,
)
from oft.storage import atomic_file

if TYPE_CHECKING:
    from jinja2 import Environment

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
    words = {run.adapter: run.words for task in report.tasks for run in task.runs}
    adapters = sorted(words, key=lambda adapter: words[adapter].place)
    html = (
        _environment({adapter: words[adapter].title for adapter in adapters})
        .get_template(_TEMPLATE)
        .render(
            params=report.params,
            adapters=adapters,
            adapter_meanings={adapter: words[adapter].meaning for adapter in adapters},
            sources=_view_sources(report),
            num_samples=sum(run.num_samples for task in report.tasks for run in task.runs),
            angles=_view_angles(report.angles) if report.angles else None,
            headlines=[_view_headline(task, adapters) for task in report.tasks],
            tasks=[view_task(task, reextracted[task.name]) for task in report.tasks],
            counts=_view_counts(report.counts),
            count_splits=list(dict.fromkeys(row.split for row in report.counts)),
            notes=notes_by_piece(report.notes),
            settings=_to_yaml(report.params.model_dump()),
            terms=TERMS,
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
        "share": format_share,
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


def _view_sources(report: ReportData) -> list[tuple[str, str]]:
    """Return the names of the data sets by where they come from, in words."""
    by_source: dict[str, dict[str, None]] = {}
    for task in report.tasks:
        by_source.setdefault(task.source, {})[task.dataset] = None
    return [(", ".join(names), describe_source(source)) for source, names in by_source.items()]


def _view_headline(task: TaskResults, adapters: Sequence[str]) -> dict[str, Any]:
    metric = main_metric(task.condition, task.runs)
    known = find_metric(metric) if metric else None
    by_adapter = {run.adapter: run for run in task.runs}
    found = [
        headline(metric, by_adapter[adapter], task.runs) if metric and adapter in by_adapter else None
        for adapter in adapters
    ]
    return {
        "task": task_title(task),
        "anchor": anchor(task.name),
        "metric": known.label if known else metric,
        "direction": DIRECTIONS[known.direction] if known else "",
        "cells": [
            {
                "value": cell.value if cell else None,
                "closed": cell.closed if cell else None,
                "width": f"{100 * min(max(cell.closed or 0.0, 0.0), 1.0):.1f}" if cell else "",
            }
            for cell in found
        ],
        "ceiling": ceiling_of(metric, task.runs) if metric else None,
    }


def _view_counts(rows: Sequence[CountsRow]) -> list[dict[str, Any]]:
    """Return one line for each stage and what it worked on, its splits beside each other."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault(
            (row.stage, row.name),
            {"stage": STAGES[row.stage], "name": row.name, "seen": {}, "kept": {}, "reasons": []},
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


def _view_angles(angles: AnglesResults) -> dict[str, Any]:
    return {
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


def _to_yaml(values: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=110))
