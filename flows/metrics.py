"""Every metrics file of the pipeline as one markdown page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

Row = Mapping[str, Any]


def collect_rows(shown: Mapping[str, Any]) -> dict[str, Row]:
    """Metrics files and their values, from what ``dvc metrics show --json`` prints for the workspace."""
    files = shown.get("", {}).get("data", {})
    return {path: flatten(found["data"]) for path, found in files.items() if "data" in found}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by a point; lists are left out, they are no metrics."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            flat[f"{prefix}{key}"] = value
    return flat


def render_metrics(rows: Mapping[str, Row]) -> str:
    """Markdown: one table for all files with the same metrics, a file a line."""
    groups: dict[tuple[str, ...], dict[str, Row]] = {}
    for path, row in rows.items():
        groups.setdefault(tuple(row), {})[path] = row
    return "\n\n".join(render_table(keys, group) for keys, group in groups.items()) or "No metrics yet."


def render_table(keys: tuple[str, ...], rows: Mapping[str, Row]) -> str:
    """One markdown table; a file is named by its folder, or by itself where it is not ``metrics.json``."""
    lines = [f"| | {' | '.join(keys)} |", f"| --- |{' ---: |' * len(keys)}"]
    for path, row in rows.items():
        file = PurePosixPath(path)
        name = file.parent if file.name == "metrics.json" else file
        lines.append(f"| {name} | {' | '.join(format_value(row[key]) for key in keys)} |")
    return "\n".join(lines)


def format_value(value: Any) -> str:
    """Four significant digits for a fraction, everything else as it stands."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
