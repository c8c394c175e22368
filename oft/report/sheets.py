"""The grids of a report as pictures: what each adapter drew, its data, the experiment with angles."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from oft.report.glossary import ANGLE_COLUMNS
from oft.report.grids import GridRow, comparison_grid, contact_sheet, stack
from oft.report.results import AnglesResults, ReportData, TaskResults
from oft.report.views import Reextracted, anchor, condition_words, sheet_name, task_columns

GRIDS_FOLDER = "grids"
ANGLES_GRID = "why-angles"  # a hyphen: no task of the params is called so


def draw_sheets(report: ReportData, reextracted: Mapping[str, Reextracted]) -> dict[str, Image.Image]:
    """Return every grid of a report by its file's name; where there is nothing to show there is none."""
    sheets = {anchor(task.name): _draw_comparison(task, reextracted[task.name]) for task in report.tasks}
    sheets |= {sheet_name(task): _draw_data(task) for task in report.tasks}
    sheets[ANGLES_GRID] = _draw_angles(report.angles)
    return {name: sheet for name, sheet in sheets.items() if sheet is not None}


def _draw_comparison(task: TaskResults, reextracted: Reextracted) -> Image.Image | None:
    if not task.comparisons:
        return None
    columns = task_columns(task)
    rows = [
        GridRow(
            [column.picture(row) for column in columns],
            f"{row.kind}: {row.caption}" if row.kind else row.caption,
            [column.reextracted(row, reextracted) for column in columns] if reextracted else (),
        )
        for row in task.comparisons
    ]
    labels, title = [column.label for column in columns], task.title
    own = [example.picture for example in task.instances if example.picture is not None]
    if not own:
        return comparison_grid(rows, labels, title)
    heads = ["Own pictures", *[""] * (len(own) - 1)]
    return stack([comparison_grid([GridRow(own)], heads, title), comparison_grid(rows, labels)])


def _draw_data(task: TaskResults) -> Image.Image | None:
    if not task.examples:
        return None
    columns = [condition_words(task).column, "Picture"]
    rows = [GridRow([example.condition, example.picture], example.caption) for example in task.examples]
    if all(example.condition is None for example in task.examples):
        columns = columns[1:]
        rows = [GridRow([example.picture], example.caption) for example in task.examples]
    return contact_sheet(rows, columns, f"{task.title}: data")


def _draw_angles(angles: AnglesResults | None) -> Image.Image | None:
    if angles is None or not angles.rows:
        return None
    title = "Drawn from activations and from parts of them"
    return comparison_grid([GridRow(row) for row in angles.rows], ANGLE_COLUMNS, title)
