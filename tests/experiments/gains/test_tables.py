"""Tables: every estimate is in the page, every score in the tidy table, equal inputs give equal bytes."""

from __future__ import annotations

import csv
from pathlib import Path

from experiments.gains.comparison import Estimate, SettingScore, TaskRuns
from experiments.gains.tables import render_gains, render_ranking, tidy_rows, write_tidy

from .conftest import MakeMeasured


def test_the_page_has_a_table_for_each_score_and_says_what_is_missing() -> None:
    estimates = [
        Estimate("task", "canny_f1", "oft - base", 0.1, 0.05, 0.15, {0: 0.1, 1: 0.12}, 60),
        Estimate("task", "canny_f1", "a / b", None, None, None, {}, 60, "no ratio"),
        Estimate("task", "val_loss", "oft, magnitudes: after", 0.0726931, None, None, {0: 0.0726931}, 0),
    ]
    page = render_gains(estimates, 0.95, "miniature")
    assert page.count("\n\n| ") == 2
    lines = [" ".join(line.split()) for line in page.splitlines()]
    assert "| oft - base | 0.1000 | [0.0500, 0.1500] | 0.1000 | 0.1200 |" in lines
    assert "| a / b | – | – | – | – |" in lines and "a / b: no ratio." in lines
    assert "## task: Edge F1 (`canny_f1`)" in lines and "2 seeds, 60 conditions." in lines
    assert "| oft, magnitudes: after | 0.0726931 | – | 0.0726931 |" in lines
    assert "1 seed; lower is better." in lines


def test_a_ranking_says_how_far_each_is_behind() -> None:
    rows = [SettingScore("a=1", 0.5, 0.4, 0.6, {1000: 0.5}, 0, 0, 0)]
    page = render_ranking("task, oft", "miou", rows, 0.95, "miniature")
    lines = [" ".join(line.split()) for line in page.splitlines()]
    assert lines[0] == "## task, oft: Mean IoU (miniature segmenter) (`miou`)"
    assert lines[-1] == "| a=1 | 0.5000 | [0.4000, 0.6000] | 0.0000 | [0.0000, 0.0000] | 0.5000 |"


def test_every_score_is_a_row(measured: MakeMeasured, tmp_path: Path) -> None:
    one = measured([0.25, None], [0.5, 0.75], prompt_similarity=0.5)
    runs = TaskRuns("task", "canny", "world", (7,), {"oft": [one]})
    write_tidy(tmp_path / "scores.csv", tidy_rows(runs, {7: "seed-7"}))
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as stream:
        found = [tuple(row.values()) for row in csv.DictReader(stream)]
    start = ("seed-7", "task")
    assert found == [
        (*start, "oft", "7", "k000", "0", "canny_f1", "0.25"),
        (*start, "oft", "7", "k000", "0", "canny_f1_real", "1.0"),
        (*start, "oft", "7", "k000", "0", "canny_f1_reconstruction", "0.5"),
        (*start, "oft", "7", "k001", "0", "canny_f1_real", "1.0"),
        (*start, "oft", "7", "k001", "0", "canny_f1_reconstruction", "0.75"),
        (*start, "oft", "7", "", "", "prompt_similarity", "0.5"),
    ]
