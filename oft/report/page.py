"""The page: what `collect` read, worded, drawn and written as one HTML file with PNG grids beside it.

Nothing on it is loaded from elsewhere, and nothing depends on the machine, the folder or the time of day.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from oft.evaluation.registry import find_metric
from oft.pictures import encode_jpeg, encode_png
from oft.prepare.card_text import describe_source
from oft.report.edges import Reextract
from oft.report.figures import draw_confusion, draw_curves
from oft.report.glossary import (
    ADAPTER_MEANINGS,
    ANGLE_COLUMNS,
    ANGLE_FORMS,
    CONDITIONS,
    FALLBACK_CONDITION,
    REASONS,
    STAGES,
    TERMS,
    UNINFORMED,
    adapter_order,
    adapter_title,
)
from oft.report.grids import MIN_SIDE_PX, GridRow, comparison_grid, contact_sheet, enlarge, printable, stack
from oft.report.results import (
    Angles,
    Comparison,
    CountsRow,
    Example,
    Failure,
    Note,
    Picture,
    Report,
    Run,
    TaskResults,
)
from oft.report.scores import (
    NOTHING,
    ceiling_of,
    format_setting,
    format_share,
    format_value,
    headline,
    main_metric,
    metric_groups,
    number,
)
from oft.storage import atomic_file

if TYPE_CHECKING:
    from jinja2 import Environment


PAGE_NAME = "index.html"
GRIDS_FOLDER = "grids"
ANGLES_GRID = "why-angles"  # a hyphen: no task of the params is called so

_TEMPLATE = "template.html"
_TELEMETRY_TEMPLATE = "telemetry.html"
_JPEG_QUALITY = 90
_CURVE_ORDER = ("loss", "val_loss", "learning_rate")
_CURVE_TITLES = {"loss": "loss", "val_loss": "validation loss", "learning_rate": "learning rate"}
_PHASE_TITLES = {"train": "Training", "magnitude": "Magnitude fitting"}
_BEFORE, _AFTER = "val_loss_before", "val_loss_after"
_ARROWS = {"higher": "↑ higher is better", "lower": "↓ lower is better", "neither": ""}


def render(
    report: Report,
    out: Path,
    *,
    reextract: Reextract | None = None,
) -> None:
    """Write ``index.html`` and ``grids/<task>.png`` into a folder; the same report gives the same bytes.

    Beside the tasks' grids there are contact sheets of their data, ``grids/data-<task>.png``, and
    ``grids/why-angles.png``, where that experiment was run.

    Args:
        report: what `collect` returned.
        out: made where it is missing.
        reextract: finds the condition again in a generated picture (`oft.report.edge_reextractor`); it is
            shown below each picture for which it returns one.
    """
    found_again = {task.name: _find_again(task, reextract) for task in report.tasks}
    html = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            adapters=[(adapter_title(a), ADAPTER_MEANINGS.get(a, "")) for a in _adapters(report)],
            angles=_angles_view(report.angles) if report.angles else None,
            facts=_facts(report),
            headlines=_headlines(report),
            headline_columns=[adapter_title(a) for a in _adapters(report)],
            tasks=[_task_view(task, found_again[task.name]) for task in report.tasks],
            counts=_counts_view(report.counts),
            count_splits=list(dict.fromkeys(row.split for row in report.counts)),
            notes=_notes_by_piece(report.notes),
            settings=_to_yaml(report.params),
            terms=TERMS,
        )
    )
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(out / PAGE_NAME) as partial:
        # Captions are other people's text: half a surrogate pair must not stop the page.
        partial.write_bytes(html.encode("utf-8", errors="replace"))
    grids = {anchor(task.name): _grid_of(task, found_again[task.name]) for task in report.tasks}
    grids |= {_data_name(task): _contact_sheet_of(task) for task in report.tasks}
    grids[ANGLES_GRID] = _angles_grid(report.angles)
    for name, grid in grids.items():
        if grid is not None:
            with atomic_file(out / GRIDS_FOLDER / f"{name}.png") as partial:
                partial.write_bytes(encode_png(grid))


def render_telemetry(telemetry: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Write a page with the seconds and memory of each stage (`oft.report.read_telemetry`).

    It is apart from the report because these figures differ from run to run.
    """
    html = _environment().get_template(_TELEMETRY_TEMPLATE).render(telemetry=_telemetry_view(telemetry))
    with atomic_file(target) as partial:
        partial.write_bytes(html.encode("utf-8", errors="replace"))


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def anchor(name: str) -> str:
    """Return a name as an id and file name: ``[A-Za-z0-9_-]`` alone."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "unnamed"


def data_uri(picture: Picture) -> str:
    """Return a picture as an address that holds its bytes.

    Small pictures are lossless. Larger ones are reduced to what the page shows and stored as JPEG: they are
    for looking at, the originals stay in the samples.
    """
    if max(picture.shape[:2]) <= MIN_SIDE_PX:
        kind, data = "png", encode_png(picture)
    else:
        kind, data = "jpeg", encode_jpeg(enlarge(picture), _JPEG_QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


FoundAgain = Mapping[tuple[str, str], Picture]
"""By key and adapter, the condition found again in the output."""


def _find_again(task: TaskResults, reextract: Reextract | None) -> FoundAgain:
    found: dict[tuple[str, str], Picture] = {}
    if reextract is None or task.is_subject:
        return found
    for comparison in task.comparisons:
        for adapter, output in comparison.outputs.items():
            condition = reextract(task.name, output.picture)
            if condition is not None:
                found[comparison.key, adapter] = condition
    return found


# ---- The run as a whole ------------------------------------------------------------------------------------


def _adapters(report: Report) -> list[str]:
    return sorted({run.adapter for task in report.tasks for run in task.runs}, key=adapter_order)


def _facts(report: Report) -> list[tuple[str, str]]:
    """What this run did, as terms and sentences; nothing is said of what the settings do not tell."""
    adapters = [adapter_title(adapter) for adapter in _adapters(report) if adapter != "none"]
    facts = {
        "Base": _base_sentence(report.params),
        "Tasks": "; ".join(_title(task) for task in report.tasks),
        "Adapters": f"{', '.join(adapters)}; beside them the base alone" if adapters else "",
        "Data": "; ".join(_source_sentences(report)),
        "Training": "; ".join(_training_sentences(report)),
        "Generated": _sampling_sentence(report),
    }
    return [(term, f"{text}.") for term, text in facts.items() if text]


def _base_sentence(params: Mapping[str, Any]) -> str:
    source, resolution_px = _get(params, "base", "source"), params.get("resolution_px")
    parts = [f"“{source}”"] if source else []
    parts += [f"pictures of {resolution_px} × {resolution_px} pixels"] if resolution_px else []
    return ", ".join(parts)


def _source_sentences(report: Report) -> list[str]:
    by_source: dict[str, list[str]] = {}
    for task in report.tasks:
        names = by_source.setdefault(task.source, [])
        if task.dataset and task.dataset not in names:
            names.append(task.dataset)
    return [
        f"{', '.join(names)}: {describe_source(source)}" if source else ", ".join(names)
        for source, names in by_source.items()
        if names
    ]


def _training_sentences(report: Report) -> list[str]:
    sentences = []
    for section, who, is_subject in (
        ("train", "Tasks with a condition", False),
        ("train_subject", "Subjects", True),
    ):
        steps, batch_size = (_get(report.params, section, key) for key in ("max_train_steps", "batch_size"))
        if steps is not None and any(task.is_subject == is_subject for task in report.tasks):
            batch = f" of {batch_size} pictures" if batch_size is not None else ""
            sentences.append(f"{who}: {format_value(steps)} steps{batch}")
    return sentences


def _sampling_sentence(report: Report) -> str:
    total = sum(run.num_samples for task in report.tasks for run in task.runs)
    settings = {
        "sampler": _get(report.params, "sample", "scheduler"),
        "denoising steps": _get(report.params, "sample", "num_inference_steps"),
        "guidance": _get(report.params, "sample", "guidance_scale"),
        "seed": report.params.get("seed"),
    }
    parts = [f"{total:,} pictures" if total else "No pictures yet"]
    parts += [f"{name} {format_setting(value)}" for name, value in settings.items() if value is not None]
    return ", ".join(parts)


def _headlines(report: Report) -> list[dict[str, Any]]:
    rows = []
    for task in report.tasks:
        metric = main_metric(task.condition, task.runs)
        known = find_metric(metric) if metric else None
        by_adapter = {run.adapter: run for run in task.runs}
        cells: list[dict[str, Any]] = []
        for adapter in _adapters(report):
            run = by_adapter.get(adapter)
            found = headline(metric, run, task.runs) if run and metric else None
            closed = found.closed if found else None
            cells.append(
                {
                    "value": format_value(found.value) if found else NOTHING,
                    "is_base": adapter == "none",
                    "closed": format_share(closed),
                    "has_closed": closed is not None,
                    "width": f"{100 * min(max(closed or 0.0, 0.0), 1.0):.1f}",
                }
            )
        rows.append(
            {
                "task": _title(task),
                "anchor": anchor(task.name),
                "metric": known.label if known else (metric or "not measured yet"),
                "direction": _ARROWS[known.direction] if known else "",
                "cells": cells,
                "ceiling": format_value(ceiling_of(metric, task.runs)) if metric else NOTHING,
            }
        )
    return rows


def _counts_view(rows: Sequence[CountsRow]) -> list[dict[str, Any]]:
    """One line for each stage and what it worked on, its splits beside each other."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault(
            (row.stage, row.name),
            {
                "stage": STAGES.get(row.stage, row.stage),
                "name": row.name,
                "seen": {},
                "kept": {},
                "reasons": [],
            },
        )
        line["seen"][row.split] = format_value(row.seen)
        line["kept"][row.split] = format_value(row.kept)
        for reason, count in row.dropped.items():
            plain = reason.removeprefix("annotation_")
            words = REASONS.get(plain, plain.replace("_", " "))
            line["reasons"].append(
                {
                    "text": f"{row.split}: {count:,} × {'annotation: ' if plain != reason else ''}{words}",
                    "examples": ", ".join(printable(name, 60) for name in row.offenders.get(reason, ())),
                }
            )
    return list(lines.values())


def _telemetry_view(telemetry: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for entry in telemetry for key in entry if key != "stage"))
    return {
        "heads": ["stage", *(_unit_free(key) for key in keys)],
        "rows": [
            [str(entry.get("stage", NOTHING)), *(_quantity(key, entry.get(key)) for key in keys)]
            for entry in telemetry
        ],
    }


def _unit_free(key: str) -> str:
    return re.sub(r"_?(seconds|bytes)$", "", key).replace("_", " ") or "time"


def _quantity(key: str, value: Any) -> str:
    amount = number(value)
    if amount is None:
        return format_value(value)
    if key.endswith("seconds"):
        return f"{amount:.1f} s" if amount < 60 else f"{int(amount) // 60} min {int(amount) % 60} s"
    if key.endswith("bytes"):
        return f"{amount / 2**20:,.0f} MiB" if amount < 2**30 else f"{amount / 2**30:.1f} GiB"
    return f"{amount:,.4g}" if isinstance(value, float) else format_value(value)


def _to_yaml(params: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True, width=110)) if params else ""


# ---- The experiment with angles ----------------------------------------------------------------------------


def _angles_view(angles: Angles) -> dict[str, Any]:
    scores = [
        {
            "title": title,
            "meaning": meaning,
            "psnr": format_value(angles.metrics.get(f"psnr_{form}")),
            "correlation": format_value(angles.metrics.get(f"correlation_{form}")),
        }
        for form, (title, meaning) in {**ANGLE_FORMS, "mean_picture": UNINFORMED}.items()
    ]
    return {
        "columns": ANGLE_COLUMNS,
        "rows": [
            [
                _figure(picture, label, f"{label}, picture {place}")
                for label, picture in zip(ANGLE_COLUMNS, row, strict=True)
            ]
            for place, row in enumerate(angles.rows, start=1)
        ],
        "grid": f"{GRIDS_FOLDER}/{ANGLES_GRID}.png",
        "finding": _angles_finding(angles.metrics),
        "scores": scores if angles.metrics else [],
        "num_images": format_value(angles.metrics.get("num_images")),
        "num_train_images": format_value(angles.metrics.get("num_train_images")),
        "dataset": format_value(angles.metrics.get("dataset")),
    }


def _angles_finding(metrics: Mapping[str, Any]) -> str | None:
    """Return in a sentence whether the experiment bears the claim out: what beats the mean picture."""
    psnr = {key.removeprefix("psnr_"): value for key, value in metrics.items() if key.startswith("psnr_")}
    if not {"angle", "magnitude", "mean_picture"} <= psnr.keys():
        return None
    angle, magnitude = (psnr[form] > psnr["mean_picture"] for form in ("angle", "magnitude"))
    if angle and not magnitude:
        return "So it is here: the angle alone beats an average picture, and the magnitude alone does not."
    beaten = [form for form, beats in (("the angle", angle), ("the magnitude", magnitude)) if beats]
    return f"Here it is not so: {' and '.join(beaten) or 'neither'} alone beats an average picture."


def _angles_grid(angles: Angles | None) -> Image.Image | None:
    if angles is None or not angles.rows:
        return None
    title = "Drawn from activations and from parts of them"
    return comparison_grid([GridRow(row) for row in angles.rows], ANGLE_COLUMNS, title)


# ---- One task ----------------------------------------------------------------------------------------------


def _title(task: TaskResults) -> str:
    words = CONDITIONS.get(task.condition, FALLBACK_CONDITION)
    if task.is_subject:
        return f"{words.title} “{task.name.removeprefix('subject_').replace('_', ' ')}”"
    return f"{words.title} ({task.dataset or task.name})"


def _task_view(task: TaskResults, found_again: FoundAgain) -> dict[str, Any]:
    words = CONDITIONS.get(task.condition, FALLBACK_CONDITION)
    columns = _columns(task)
    return {
        "name": task.name,
        "anchor": anchor(task.name),
        "title": _title(task),
        "explanation": words.explanation,
        "transfers": [
            f"Nothing is trained here: {adapter_title(run.adapter)} is that of “{run.trained_on}”."
            for run in task.runs
            if run.trained_on
        ],
        "is_subject": task.is_subject,
        "columns": [label for _, label in columns],
        "rows": [_row_view(row, columns, found_again) for row in task.comparisons],
        "more_rows": [_row_view(row, columns, {}) for row in task.more_comparisons],
        "has_same_seeds": _has_same_seeds(task),
        "has_found_again": bool(found_again),
        "instances": [_figure(e.picture, "", f"the subject's own picture {e.key}") for e in task.instances],
        "run_titles": [adapter_title(run.adapter) for run in task.runs],
        "groups": [
            {"title": title, "is_score": group == "score", "is_protocol": group == "protocol", "rows": rows}
            for title, group, rows in metric_groups(task.runs)
        ],
        "arrows": _ARROWS,
        "num_images": _num_images(task.runs),
        "curves": _curves_view(task),
        "magnitude": [view for run in task.runs if (view := _magnitude_view(run))],
        "summaries": _summaries_view(task.runs),
        "confusions": [
            {
                "title": adapter_title(run.adapter),
                "svg": draw_confusion(
                    run.confusion,
                    f"confusion-{anchor(task.name)}-{anchor(run.adapter)}".lower(),
                    f"{adapter_title(run.adapter)}: share of each class's pixels by class found, per cent",
                ),
            }
            for run in task.runs
            if run.confusion
        ],
        "failures": [_failure_view(failure) for failure in task.failures],
        "examples": [_example_view(example) for example in task.examples],
        "examples_split": task.examples_split,
        "contact_sheet": f"{GRIDS_FOLDER}/{_data_name(task)}.png",
        "card": [(term, printable(text)) for term, text in task.card.items()],
        "shard_samples": ", ".join(f"{count:,} {split}" for split, count in task.num_shard_samples.items()),
        "notes": _notes_by_piece(task.notes),
    }


def _has_same_seeds(task: TaskResults) -> bool:
    """Whether it is known of each row that all its pictures have one seed."""
    rows = [{output.seed for output in row.outputs.values()} for row in task.comparisons]
    return all(len(seeds) == 1 and None not in seeds for seeds in rows)


def _columns(task: TaskResults) -> list[tuple[str, str]]:
    """(id, name) of each column; what no row has (a subject's condition, missing shards) is left out."""
    rows = (*task.comparisons, *task.more_comparisons)
    columns = []
    if any(row.condition is not None for row in rows):
        columns.append(("condition", CONDITIONS.get(task.condition, FALLBACK_CONDITION).column))
    if any(row.target is not None for row in rows):
        columns.append(("target", "Target"))
    return [*columns, *((f"run:{run.adapter}", adapter_title(run.adapter)) for run in task.runs)]


def _pictures(comparison: Comparison, columns: Iterable[tuple[str, str]]) -> list[Picture | None]:
    pictures: list[Picture | None] = []
    for column, _ in columns:
        if column.startswith("run:"):
            output = comparison.outputs.get(column.removeprefix("run:"))
            pictures.append(output.picture if output else None)
        else:
            pictures.append(comparison.condition if column == "condition" else comparison.target)
    return pictures


def _again(
    comparison: Comparison, columns: Iterable[tuple[str, str]], found_again: FoundAgain
) -> list[Picture | None]:
    return [found_again.get((comparison.key, column.removeprefix("run:"))) for column, _ in columns]


def _row_view(
    comparison: Comparison, columns: Sequence[tuple[str, str]], found_again: FoundAgain
) -> dict[str, Any]:
    caption = printable(comparison.caption)
    figures = []
    for picture, again, (_, label) in zip(
        _pictures(comparison, columns), _again(comparison, columns, found_again), columns, strict=True
    ):
        figure = _figure(picture, label, f"{label}: {caption or comparison.key}")
        figure["again"] = data_uri(again) if again is not None else ""
        figures.append(figure)
    return {"caption": caption, "details": _row_details(comparison), "figures": figures}


def _row_details(comparison: Comparison) -> str:
    seeds = {
        adapter: output.seed for adapter, output in comparison.outputs.items() if output.seed is not None
    }
    details = printable(comparison.key, 100)
    if len(set(seeds.values())) == 1:
        return f"{details}, seed {next(iter(seeds.values()))}"
    if seeds:
        listed = ", ".join(f"{adapter_title(adapter)} {seed}" for adapter, seed in seeds.items())
        return f"{details}, seeds differ: {listed}"
    return details


def _figure(picture: Picture | None, label: str, alt: str) -> dict[str, Any]:
    return {
        "src": data_uri(picture) if picture is not None else "",
        "small": picture is not None and max(picture.shape[:2]) <= MIN_SIDE_PX,
        "label": label,
        "alt": alt,
        "again": "",
    }


def _num_images(runs: Sequence[Run]) -> str:
    counts = dict.fromkeys(
        format_value(run.metrics["num_images"]) for run in runs if "num_images" in run.metrics
    )
    return " / ".join(counts)


def _curves_view(task: TaskResults) -> list[dict[str, str]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for run in task.runs:
        for curve in run.curves:
            found.setdefault((curve.phase, curve.name), {})[run.adapter] = curve

    def place(named: tuple[str, str]) -> tuple[int, int, str]:
        phase, name = named
        stem = name.rsplit("/", 1)[-1]
        return (
            list(_PHASE_TITLES).index(phase),
            _CURVE_ORDER.index(stem) if stem in _CURVE_ORDER else len(_CURVE_ORDER),
            name,
        )

    views = []
    for number_, (phase, name) in enumerate(sorted(found, key=place)):
        stem = name.rsplit("/", 1)[-1]
        label = _CURVE_TITLES.get(stem, name.replace("_", " "))
        svg_name = f"curve-{anchor(task.name)}-{number_}".lower()
        title = f"{_PHASE_TITLES[phase]}: {label}"
        views.append(
            {"title": title, "svg": draw_curves(found[phase, name], svg_name, label, is_noisy=stem == "loss")}
        )
    return views


def _magnitude_view(run: Run) -> dict[str, str] | None:
    summary = run.summaries.get("magnitude", {})
    if _BEFORE not in summary and _AFTER not in summary:
        return None
    before, after = number(summary.get(_BEFORE)), number(summary.get(_AFTER))
    change = NOTHING
    if before and after is not None:
        change = f"{100 * (after - before) / before:+.2f} %".replace("-", "−")
    return {
        "title": adapter_title(run.adapter),
        "before": f"{before:.5f}" if before is not None else NOTHING,
        "after": f"{after:.5f}" if after is not None else NOTHING,
        "change": change,
    }


def _summaries_view(runs: Sequence[Run]) -> dict[str, Any]:
    """Every value of the training summaries, a line for each, a column for each adapter that trained."""
    trained = [run for run in runs if any(run.summaries.values())]
    lines = []
    for phase, title in _PHASE_TITLES.items():
        keys = dict.fromkeys(key for run in trained for key in run.summaries.get(phase, {}))
        for key in keys:
            cells = [format_value(run.summaries.get(phase, {}).get(key)) for run in trained]
            lines.append({"phase": title, "key": key, "cells": cells})
    return {"heads": [adapter_title(run.adapter) for run in trained], "lines": lines}


def _failure_view(failure: Failure) -> dict[str, Any]:
    known = find_metric(failure.score_name)
    comparison = failure.comparison
    label = adapter_title(failure.adapter)
    caption = printable(comparison.caption)
    output = comparison.outputs.get(failure.adapter)
    figures = [
        _figure(picture, name, f"{name}: {caption or comparison.key}")
        for picture, name in (
            (comparison.condition, "Condition"),
            (comparison.target, "Target"),
            (output.picture if output else None, label),
        )
        if picture is not None or name == label
    ]
    return {
        "score": f"{known.label if known else failure.score_name} {format_value(failure.score)}",
        "caption": caption,
        "details": _row_details(comparison),
        "figures": figures,
    }


def _example_view(example: Example) -> dict[str, Any]:
    caption = printable(example.caption)
    return {
        "caption": caption or "no caption",
        "figures": [
            _figure(picture, label, f"{label}: {caption or example.key}")
            for label, picture in (("Condition", example.condition), ("Picture", example.picture))
            if picture is not None
        ],
    }


def _data_name(task: TaskResults) -> str:
    """The contact sheet's name; a hyphen: no task of the params is called so."""
    return f"data-{anchor(task.name)}"


def _contact_sheet_of(task: TaskResults) -> Image.Image | None:
    if not task.examples:
        return None
    columns = [CONDITIONS.get(task.condition, FALLBACK_CONDITION).column, "Picture"]
    rows = [GridRow([example.condition, example.picture], example.caption) for example in task.examples]
    if all(example.condition is None for example in task.examples):
        columns = columns[1:]
        rows = [GridRow([example.picture], example.caption) for example in task.examples]
    return contact_sheet(rows, columns, f"{_title(task)}: data")


def _notes_by_piece(notes: Iterable[Note]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for note in notes:
        grouped.setdefault(note.piece, []).append(note.text)
    return grouped


def _grid_of(task: TaskResults, found_again: FoundAgain) -> Image.Image | None:
    if not task.comparisons:
        return None
    columns = _columns(task)
    rows = [
        GridRow(
            _pictures(comparison, columns),
            comparison.caption,
            _again(comparison, columns, found_again) if found_again else (),
        )
        for comparison in task.comparisons
    ]
    own = [example.picture for example in task.instances if example.picture is not None]
    if not own:
        return comparison_grid(rows, [label for _, label in columns], _title(task))
    heads = ["Own pictures", *[""] * (len(own) - 1)]
    return stack(
        [
            comparison_grid([GridRow(own)], heads, _title(task)),
            comparison_grid(rows, [label for _, label in columns]),
        ]
    )


def _get(params: Mapping[str, Any], section: str, key: str) -> Any:
    values = params.get(section)
    return values.get(key) if isinstance(values, Mapping) else None
