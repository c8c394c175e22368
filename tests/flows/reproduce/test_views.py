from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from flows.reproduce.durations import Forecast
from flows.reproduce.run_table import RunTable, Status
from flows.reproduce.views import (
    NOTHING_KNOWN,
    LiveView,
    PlainView,
    SilentView,
    current_view,
    draw_table,
    is_chatter,
    show_run,
    summarize,
)


def example() -> RunTable:
    table = RunTable([f"stage{number}" for number in range(20)] + ["train@a", "report"])
    for number in range(20):
        table.end(f"stage{number}", Status.CACHED)
    table.begin("train@a")
    return table


def drawn(table: RunTable, max_rows: int) -> str:
    console = Console(file=StringIO(), width=100, force_terminal=False)
    console.print(draw_table(table, max_rows))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_table_names_every_stage_where_there_is_room() -> None:
    shown = drawn(example(), 30)
    assert all(f"stage{number}" in shown for number in range(20))
    assert "train@a" in shown and "running" in shown and "waiting" in shown and "cached" in shown


def test_a_low_terminal_shows_the_highest_priorities_and_counts_the_rest() -> None:
    table = example()
    table.note("train@a", "next attempt in 2 s")
    shown = drawn(table, 3)
    assert "train@a" in shown and "report" in shown and "next attempt in 2 s" in shown
    assert shown.count("stage") <= 3  # one of the others, and the header
    assert "1 waiting, 1 running, 20 cached" in shown


def test_a_run_in_one_line() -> None:
    assert summarize(example()).startswith("1 waiting, 1 running, 20 cached; ")
    assert summarize(RunTable([])).startswith("no stage; ")


def test_plain_lines_begin_with_the_stage_and_say_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    table = RunTable(["a", "b", "c"], view.changed)
    view.begin(table, NOTHING_KNOWN)
    table.begin("a")
    view.line("a", "42 pictures")
    table.note("a", "next attempt in 2 s")
    table.end("a", Status.FAILED)
    table.end("b", Status.CACHED)
    table.end("c", Status.SKIPPED)
    view.line("", "the run")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["[a] running", "[a] 42 pictures"]
    assert (
        lines[2].startswith("[a] failed after ") and lines[2].endswith(" (1/3)") and lines[3:] == ["the run"]
    )


def test_an_end_says_how_much_is_left_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    table = RunTable(["base", "train_subject@a-oft"], view.changed)
    view.begin(table, Forecast({"base": 1.0, "train@a-oft": 360.0}, jobs=2))
    table.begin("base")
    table.end("base", Status.DONE)
    assert capsys.readouterr().out.splitlines()[1].endswith("(1/2, about 3 min left)")


def test_the_live_table_stands_at_the_end_below_the_lines() -> None:
    console = Console(file=StringIO(), width=100, height=50, force_terminal=True)
    view = LiveView(console)
    table = RunTable(["train@a"], view.changed)
    view.begin(table, NOTHING_KNOWN)
    table.begin("train@a")
    view.line("train@a", "loss [bold]0.1[/bold]")
    table.end("train@a", Status.DONE)
    view.end()
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "loss [bold]0.1[/bold]" in shown  # a stage's words are no markup
    assert "1 done" in shown.rpartition("0.1[/bold]")[2]


def test_without_a_view_a_run_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(current_view(), SilentView)
    with show_run():
        assert isinstance(current_view(), PlainView)
    assert isinstance(current_view(), SilentView)
    assert capsys.readouterr().out == ""


def test_dvc_chatter_is_told_from_stage_output() -> None:
    assert is_chatter("Updating lock file 'dvc.lock'") and is_chatter("  ")
    assert is_chatter("Stage 'train@a' didn't change, skipping")
    assert not is_chatter("train a: 10/550 step, 4.9 step/s")
