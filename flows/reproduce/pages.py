"""The pages of a run: metrics beside those of the run before, a timeline of its stages, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from flows.reproduce.run_table import RunTable, StageRow, Status, overlaps
from flows.reproduce.views import summarize
from oft.errors import ParamsError
from oft.evaluation.registry import with_judge
from oft.pictures import data_uri, encode_jpeg
from oft.storage import flatten, read_json, write_json

Metrics = Mapping[str, Mapping[str, Any]]
"""Each metrics file of the pipeline and its values, nested keys joined by points."""

LAST_METRICS = Path(".dvc/tmp/last-metrics.json")
"""The metrics of the run before, for comparison."""
REPORT = Path("report/index.html")
GRIDS = Path("report/grids")
BAR_CELLS = 40
_SHEET_JPEG_QUALITY = 85


def read_metrics(root: Path) -> dict[str, dict[str, Any]]:
    """Return every metrics file of the workspace, as ``dvc metrics show`` finds them.

    Raises:
        UserError: ``root`` holds no DVC repository.
    """
    from flows.graph import open_repository

    with open_repository(root) as repo:
        files = repo.metrics.show().get("", {}).get("data", {})
    return {path: scalars(found["data"]) for path, found in files.items() if "data" in found}


def scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings as one, keys joined by a point; lists are left out, they are no metrics."""
    return {key: value for key, value in flatten(values).items() if not isinstance(value, list)}


def exchange_metrics(root: Path, metrics: Metrics) -> Metrics:
    """Return the metrics of the run before in this clone, and keep these for the next one."""
    path = root / LAST_METRICS
    try:
        before: Metrics = read_json(path)
    except (FileNotFoundError, json.JSONDecodeError):
        before = {}
    write_json(path, metrics)
    return before


def read_titles(root: Path) -> dict[str, str]:
    """Return what the workspace's folders of results and files of counts are about, by their paths.

    Where its settings are not those of this pipeline there are no titles.
    """
    from oft.params import PARAMS_FILE, load_params
    from oft.report.plan import titles_of_files

    try:
        return titles_of_files(load_params(root / PARAMS_FILE))
    except ParamsError:
        return {}


def render_metrics(metrics: Metrics, before: Metrics, titles: Mapping[str, str] | None = None) -> str:
    """Markdown: what changed since ``before`` in brackets.

    A table for each task, its adapters side by side, a metric a line, with its miniature judge; then one for
    all other files with the same metrics, a file a line.

    Args:
        titles: what folders and files are about, see `read_titles`.
    """
    titles = titles or {}
    tasks: dict[str, list[str]] = {}
    others: dict[tuple[str, ...], list[str]] = {}
    for path, values in metrics.items():
        file = PurePosixPath(path)
        if file.name == "metrics.json" and len(file.parts) > 2:
            tasks.setdefault(str(file.parent.parent), []).append(path)
        else:
            others.setdefault(tuple(values), []).append(path)
    tables = [_render_task(task, paths, metrics, before, titles) for task, paths in tasks.items()]
    tables += [_render_files(keys, paths, metrics, before, titles) for keys, paths in others.items()]
    note = "In brackets: the change since the run before in this clone.\n\n" if before else ""
    return note + "\n\n".join(tables) if tables else "No metrics yet."


def _render_task(
    task: str, paths: Sequence[str], metrics: Metrics, before: Metrics, titles: Mapping[str, str]
) -> str:
    paths = sorted(paths)
    names = dict.fromkeys(name for path in paths for name in metrics[path])
    judges = next((str(metrics[path]["judges"]) for path in paths if "judges" in metrics[path]), "")
    return _render_table(
        [_with_title(task, task, titles), *(PurePosixPath(path).parent.name for path in paths)],
        [
            [with_judge(name, judges), *(_cell(path, name, metrics, before) for path in paths)]
            for name in names
        ],
    )


def _render_files(
    keys: tuple[str, ...],
    paths: Sequence[str],
    metrics: Metrics,
    before: Metrics,
    titles: Mapping[str, str],
) -> str:
    return _render_table(
        ["", *keys],
        [
            [
                _with_title(path.removesuffix(".json"), path, titles),
                *(_cell(path, key, metrics, before) for key in keys),
            ]
            for path in paths
        ],
    )


def _with_title(shown: str, path: str, titles: Mapping[str, str]) -> str:
    return f"{shown}: {titles[path]}" if path in titles else shown


def _render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(path: str, key: str, metrics: Metrics, before: Metrics) -> str:
    if key not in metrics[path]:
        return ""
    value = metrics[path][key]
    return format_value(value) + format_change(value, before.get(path, {}).get(key))


def format_value(value: Any) -> str:
    """Four significant digits for a fraction, everything else as it stands."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_change(value: Any, before: Any) -> str:
    """Return by how much a number changed, in brackets; nothing where it did not or where there was none."""
    numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (value, before))
    return f" ({value - before:+.3g})" if numbers and value != before else ""


def render_timeline(table: RunTable) -> str:
    """Markdown: when each stage of a run ran, as bars on one scale, and how long several ran at once."""
    ran = sorted((row for row in table.rows if row.began is not None), key=lambda row: row.began or 0.0)
    not_run = [row for row in table.rows if row.began is None]
    lines = [summarize(table), ""]
    if ran:
        end = max(row.ended or table.now() for row in ran)
        busy = sum(row.seconds(end) or 0.0 for row in ran)
        lines += [
            f"{busy:.0f} s of stages in {end:.0f} s; two or more at once for {overlaps(ran):.0f} s.",
            "",
            "| stage | | from, s | took, s | |",
            "| --- | --- | ---: | ---: | --- |",
            *(_timeline_row(row, end) for row in ran),
        ]
    for status in Status:
        if names := [row.stage for row in not_run if row.status is status]:
            lines += ["", f"{status}: {', '.join(names)}"]
    return "\n".join(lines)


def _timeline_row(row: StageRow, end: float) -> str:
    seconds = row.seconds(end) or 0.0
    first = round((row.began or 0.0) / end * BAR_CELLS)
    bar = "·" * min(first, BAR_CELLS - 1) + "█" * max(1, round(seconds / end * BAR_CELLS))
    padded = bar[:BAR_CELLS].ljust(BAR_CELLS, "·")
    return f"| {row.stage} | {row.status} | {row.began or 0.0:.1f} | {seconds:.1f} | `{padded}` |"


def find_grids(root: Path) -> dict[str, Path]:
    """Return the report's grids of pictures by name, sorted."""
    return {path.stem: path for path in sorted((root / GRIDS).glob("*.png"))}


def draw_validation_sheets(root: Path) -> dict[str, str]:
    """Return, by task and adapter, the validation grids of each training below each other, as an address.

    They are in the order of steps, the first and the last among them. Only trainings that the workspace's
    settings name are shown; where these are not those of this pipeline there are none.
    """
    from oft.params import PARAMS_FILE, load_params
    from oft.report.glossary import adapter_words
    from oft.report.plan import describe_task, planned_runs
    from oft.report.validation import SHEET_GRIDS, draw_validation_sheet, read_validation

    try:
        params = load_params(root / PARAMS_FILE)
    except ParamsError:
        return {}
    words = adapter_words(params)
    sheets = {}
    for task, adapters in planned_runs(params).items():
        for adapter in adapters:
            # A damaged grid is missing here; the report's notes name it.
            if grids := read_validation(root, f"runs/{task}/{adapter}", SHEET_GRIDS, []):
                title = f"{describe_task(task, params).title(task)}: {words[adapter].title}"
                sheet = draw_validation_sheet(grids, title)
                sheets[f"{task}-{adapter}"] = data_uri(encode_jpeg(sheet, _SHEET_JPEG_QUALITY), "jpeg")
    return sheets


def picture_address(path: Path) -> str:
    """Return a PNG file as an address that holds the picture itself."""
    return data_uri(path.read_bytes(), "png")
