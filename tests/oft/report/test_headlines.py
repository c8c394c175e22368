"""A row of each adapter on each task: the report's own figures, and tables of them."""

from __future__ import annotations

from typing import Any

import pytest

from oft.report.gains import measure_gains
from oft.report.headlines import headline_table, headlines, metrics_by_task
from oft.report.results import ReportData


@pytest.fixture(scope="module")
def rows(report: ReportData) -> list[dict[str, Any]]:
    return headlines(report)


def test_every_adapter_on_every_task_has_a_row(report: ReportData, rows: list[dict[str, Any]]) -> None:
    expected = [
        (task.name, run.adapter) for task in report.tasks for run in task.runs if run.adapter != "none"
    ]
    assert [(row["task"], row["adapter"]) for row in rows] == expected


def test_each_task_has_a_few_numbers_for_dvc(rows: list[dict[str, Any]]) -> None:
    """One for the base, one for each adapter, one for the ceiling."""
    found = metrics_by_task(rows)
    assert set(found["segm_ade20k"]) == {"base", "hint", "oft", "coft", "ceiling"}
    own = next(row for row in rows if (row["task"], row["adapter"]) == ("segm_ade20k", "oft"))
    assert found["segm_ade20k"]["oft"] == own["value"]
    assert "hint" not in found["subject_duck_toy"]


def test_figures_are_the_report_s(report: ReportData, rows: list[dict[str, Any]]) -> None:
    task = next(task for task in report.tasks if task.condition == "segmentation")
    gains = measure_gains(task.condition, task.runs, "miou", report.params.seed)
    assert gains is not None
    runs = {run.adapter: run for run in task.runs}
    for row in (row for row in rows if row["task"] == task.name):
        gain = gains.by_adapter[row["adapter"]]
        assert row["metric"] == "miou"
        assert row["value"] == runs[row["adapter"]].number("miou")
        assert row["base"] == runs["none"].number("miou")
        expected = gain.difference if gain.over_hint is None else gain.over_hint
        assert row["difference"] == list(expected)
        assert row["over"] == ("base" if gain.over_hint is None else "hint")
        assert row["num_conditions"] == gains.num_conditions


def test_the_table_has_the_hint_encoder_as_a_column(rows: list[dict[str, Any]]) -> None:
    lines = headline_table(rows).splitlines()
    shown = [row for row in rows if not row["is_hint"]]
    assert len(lines) == 1 + len(shown)
    assert all(len(line) == len(line.rstrip()) for line in lines)
    column = lines[0].index("adapter")
    for line, row in zip(lines[1:], shown, strict=True):
        assert line[column:].startswith(row["adapter_title"])


def test_the_hint_encoder_alone_has_a_row_where_nothing_else_was_trained(rows: list[dict[str, Any]]) -> None:
    alone = [row | {"is_hint": True} for row in rows[:1]]
    assert len(headline_table(alone).splitlines()) == 2


def test_markdown_has_titles(rows: list[dict[str, Any]]) -> None:
    lines = headline_table(rows, markdown=True).splitlines()
    assert lines[1].count("---") == lines[0].count("|") - 1 == 8
    assert rows[0]["title"] in lines[2]


def test_what_was_not_measured_is_empty(rows: list[dict[str, Any]]) -> None:
    nothing = dict.fromkeys(
        ("metric", "metric_title", "value", "base", "hint", "ceiling", "difference", "over")
    )
    line = headline_table([rows[-1] | nothing]).splitlines()[1]
    assert "not measured" in line
    assert "None" not in line
