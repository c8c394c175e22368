"""What a run came to, its last lines on the terminal: the headline table, where things lie, what is next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.reproduce.pages import REPORT
from oft.storage import read_json

# What follows `oft generate` for each kind of task, the simplest first.
_DRAWN_FROM = {"subject": '"a sks ..."', "style": '"..."', "control": '"..." --condition PICTURE'}


def describe_results(root: Path) -> str:
    """Return the last lines of a run whose report is up to date; '' where there is none."""
    from oft.report.headlines import HEADLINES_NAME, headline_table

    try:
        rows = read_json((root / REPORT).with_name(HEADLINES_NAME))
    except (OSError, ValueError):
        return ""
    lines = [f"Report: {REPORT}"]
    if rows:
        lines = [headline_table(rows), "", *lines, *_next(root, rows)]
    return "\n".join(lines)


def _next(root: Path, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return where adapters lie, and the command that draws with the first that is there."""
    folders = [Path("runs") / row["task"] / row["adapter"] / "magnitude" for row in rows]
    there = [(row, folder) for row, folder in zip(rows, folders, strict=True) if (root / folder).is_dir()]
    # Subjects and styles are drawn from words alone; an adapter with a condition wants a picture beside them.
    there.sort(key=lambda pair: list(_DRAWN_FROM).index(pair[0]["kind"]))
    if not there:
        return []
    row, folder = there[0]
    return [
        "Adapters: runs/<task>/<adapter>/magnitude",
        f"Draw with one: oft generate {_DRAWN_FROM[row['kind']]} --adapter {folder}",
    ]
