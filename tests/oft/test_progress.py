"""Progress: plain lines where there is no terminal, and nothing lost on the way."""

from __future__ import annotations

import pytest

from oft.progress import BYTES, count, progress


def test_items_pass_through_and_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(count(iter("abc"), "letters", "letters", total=3)) == ["a", "b", "c"]
    assert capsys.readouterr().out.startswith("letters: 3/3 letters, ")


def test_the_rate_does_not_count_what_an_earlier_run_did(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(total=10, description="steps", unit="step", initial=10):
        pass
    assert "10/10 step, 0.0 step/s" in capsys.readouterr().out


def test_a_failure_shows_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="stop"), progress(total=5, description="work", unit="item") as bar:
        bar.advance(2)
        raise ValueError("stop")
    assert "work: 2/5 item" in capsys.readouterr().out


def test_bytes_are_shown_in_mebibytes(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(total=3 << 20, description="a.zip", unit=BYTES) as bar:
        bar.advance(3 << 19)
    assert capsys.readouterr().out.startswith("a.zip: 1.5/3.0 MiB, ")
    with progress(total=None, description="a.zip", unit=BYTES, initial=1 << 20):
        pass
    assert capsys.readouterr().out == "a.zip: 1.0 MiB, 0.0 MiB/s\n"
