"""What the README shows of a run: one picture, one table, and the figures they are made of.

``python -m oft.report.showcase`` (`make showcase`) writes them anew after a run of the default settings; a
test holds the README's table to the figures.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from oft.adapters.registry import BASE_ALONE
from oft.errors import DataError, UserError
from oft.params import load_params
from oft.pictures import encode_png
from oft.report.collect import collect
from oft.report.grids import GridRow, comparison_grid
from oft.report.headlines import HEADLINES_NAME, headline_table, headlines
from oft.report.results import Picture, TaskResults
from oft.storage import atomic_file, write_json

FOLDER = Path("docs/results")
FIGURES, PICTURE = FOLDER / HEADLINES_NAME, FOLDER / "hero.png"
README = Path("README.md")
BEGIN, END = "<!-- results: make showcase -->", "<!-- /results -->"


def hero(tasks: Sequence[TaskResults], adapters: Sequence[str]) -> Image.Image:
    """Return a row of each task: what is given, and what the base and adapters draw from it under one seed.

    Of a subject its own picture is what is given. Rows are the report's first, which are chosen at random.

    Args:
        adapters: the columns after what is given.

    Raises:
        DataError: no task has a picture.
    """
    titles = {run.adapter: run.words.title for task in tasks for run in task.runs}
    columns = [name for name in adapters if name in titles]
    rows = []
    for task in tasks:
        if not task.comparisons:
            continue
        row = task.comparisons[0]
        given = row.condition
        if task.is_subject:
            given = task.instances[0].picture if task.instances else None
        drawn: list[Picture | None] = [
            row.outputs[name].picture if name in row.outputs else None for name in columns
        ]
        rows.append(GridRow([given, *drawn], f"{task.short_title}: {row.caption}"))
    if not rows:
        raise DataError("no task has a generated picture; run `make repro` first")
    return comparison_grid(rows, ["given", *(titles[name] for name in columns)])


def put_between(readme: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """Return the README's text with a table between two marks.

    Raises:
        DataError: a mark is missing.
    """
    before, found_begin, rest = readme.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise DataError(f"{README}: {begin} and {end} must stand in it, around a table that is written anew")
    return f"{before}{begin}\n{table}\n{end}{after}"


def main() -> None:
    """Write docs/results and the README's table from the run in this repository."""
    params = load_params()
    report = collect(Path(), params)
    shown = [BASE_ALONE, *(name for name in params.adapters if name in ("hint", "oft"))]
    figures = headlines(report)
    readme = put_between(README.read_text(encoding="utf-8"), headline_table(figures, markdown=True))
    FOLDER.mkdir(parents=True, exist_ok=True)
    with atomic_file(PICTURE) as partial:
        partial.write_bytes(encode_png(hero(report.tasks, shown)))
    write_json(FIGURES, figures)
    with atomic_file(README) as partial:
        partial.write_text(readme, encoding="utf-8")
    print(f"{PICTURE}, {FIGURES}, {README}")


if __name__ == "__main__":
    ArgumentParser(prog="python -m oft.report.showcase", description=main.__doc__).parse_args()
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
