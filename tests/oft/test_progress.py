"""Progress: plain lines where there is no terminal, rates that make sense, and nothing lost on the way."""

from __future__ import annotations

import io
import sys
import time

import pytest

from oft.progress import BYTES, PLAIN_LINE_SECONDS, count, format_rate, format_seconds, print_line, progress


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in the place of standard error; pytest puts its own there after fixtures are set up."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    return made


def test_items_pass_through_and_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(count(iter("abc"), "letters", "letters", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr().out.startswith("letters: 3/3 letters")


def test_the_rate_does_not_count_what_an_earlier_run_did(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    with progress(total=10, description="steps", unit="step", initial=10):
        pass
    assert capsys.readouterr().out == "steps: 10/10 steps\n"
    with progress(total=1000, description="steps", unit="step", initial=500) as bar:
        for _ in range(3):
            clock.seconds += 0.5
            bar.advance()
    assert capsys.readouterr().out == "steps: 503/1000 steps, 2.0 steps/s, 4 min left\n"


def test_the_first_item_pays_for_the_warm_up_and_has_no_rate(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    with progress(total=100, description="draw", unit="pictures") as bar:
        clock.seconds += 60  # loads a base
        bar.advance()
        assert capsys.readouterr().out == "draw: 1/100 pictures\n"
        for _ in range(9):
            clock.seconds += 2.4
            bar.advance()
        clock.seconds += 3600  # what follows the last is not work done
    first, last = capsys.readouterr().out.splitlines()
    assert first == "draw: 6/100 pictures, 2.4 s/picture, 4 min left"
    assert last == "draw: 10/100 pictures, 2.4 s/picture, 4 min left"


def test_pictures_of_the_first_batch_are_no_rate(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    """They are counted one by one within moments, after all were drawn at once."""
    with progress(total=32, description="draw", unit="pictures") as bar:
        for _ in range(2):
            clock.seconds += 8
            for _ in range(8):
                bar.advance()
                clock.seconds += 0.001
    first, last = capsys.readouterr().out.splitlines()
    assert first == "draw: 9/32 pictures, 8.0 s/picture, 3 min left"
    assert last == "draw: 16/32 pictures, 1.0 s/picture, 16 s left"


def test_lines_come_no_more_often_than_they_should(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with progress(total=None, description="draw", unit="pictures") as bar:
        for _ in range(100):
            clock.seconds += PLAIN_LINE_SECONDS / 20
            bar.advance()
        assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_failure_shows_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="stop"), progress(total=5, description="work", unit="item") as bar:
        bar.advance(2)
        raise ValueError("stop")
    assert capsys.readouterr().out == "work: 2/5 items\n"


def test_bytes_are_shown_in_mebibytes(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with progress(total=4 << 20, description="a.zip", unit=BYTES) as bar:
        bar.advance(1 << 20)
        clock.seconds += 0.5
        bar.advance(1 << 20)
    assert capsys.readouterr().out == "a.zip: 2.0/4.0 MiB, 2.0 MiB/s, 1.0 s left\n"
    with progress(total=None, description="a.zip", unit=BYTES, initial=1 << 20):
        pass
    assert capsys.readouterr().out == "a.zip: 1.0 MiB\n"


def test_a_terminal_has_a_bar_that_says_what_a_line_says(
    capsys: pytest.CaptureFixture[str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal(monkeypatch)
    with progress(total=10, description="draw {x}", unit="pictures") as bar:
        for _ in range(4):
            clock.seconds += 4
            bar.advance()
        bar.describe("loss {0.1}")
    last = terminal.getvalue().replace("\n", "\r").rstrip("\r").rpartition("\r")[2]
    assert last.startswith("draw {x}:  40%|####  ")
    assert last.rstrip().endswith("  | 4/10 pictures, 4.0 s/picture, 24 s left, loss {0.1}")
    assert capsys.readouterr().out == ""


def test_a_terminal_shows_what_has_no_known_total(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with progress(total=None, description="draw", unit="pictures") as bar:
        for _ in range(3):
            clock.seconds += 0.5
            bar.advance()
    last = terminal.getvalue().replace("\n", "\r").rstrip("\r").rpartition("\r")[2]
    assert last.rstrip() == "draw: 3 pictures, 2.0 pictures/s"


def test_a_line_on_a_terminal_leaves_the_bar_below_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal(monkeypatch)
    with progress(total=2, description="train", unit="step") as bar:
        bar.advance()
        print_line("a grid")
        assert capsys.readouterr().out == "a grid\n"
        assert terminal.getvalue().rstrip().endswith("1/2 steps")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (2.44, "2.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (95.4, "95 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (180, "3 min"),
        (59.4 * 60, "59 min"),
        (59.6 * 60, "1 h"),
        (80 * 60, "1 h 20 min"),
        (100.5 * 3600, "100 h 30 min"),
    ],
)
def test_seconds_are_written_as_they_are_said(seconds: float, words: str) -> None:
    assert format_seconds(seconds) == words


@pytest.mark.parametrize(
    ("per_second", "unit", "words"),
    [
        (1 / 2.4, "pictures", "2.4 s/picture"),
        (1 / 300, "step", "5 min/step"),
        (1.0, "step", "1.0 steps/s"),
        (12.34, "pictures", "12.3 pictures/s"),
        (1234.5, "pictures", "1234 pictures/s"),
        (1.5 * (1 << 20), BYTES, "1.5 MiB/s"),
        (300 * 1024, BYTES, "300.0 KiB/s"),
    ],
)
def test_rates_below_one_a_second_are_the_time_of_one(per_second: float, unit: str, words: str) -> None:
    assert format_rate(per_second, unit) == words
