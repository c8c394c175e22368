from __future__ import annotations

from pathlib import Path

import pytest

from oft.captions.journal import Journal

RESULTS = [{"captions": {"a": "a “tree”"}}, [1, 2], "x\ny"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "new" / "journal.jsonl")
    for result in RESULTS:
        assert journal.recall() is None
        journal.record(result)
    return tmp_path / "new" / "journal.jsonl"


def test_results_come_back_in_their_order_then_none(written: Path) -> None:
    journal = Journal(written)
    assert [journal.recall() for _ in range(4)] == [*RESULTS, None]
    journal.record(4)
    again = Journal(written)
    assert [again.recall() for _ in range(5)] == [*RESULTS, 4, None]


def test_a_journal_cut_anywhere_keeps_its_whole_lines_and_can_be_written_on(written: Path) -> None:
    whole = written.read_bytes()
    for length in range(len(whole)):
        written.write_bytes(whole[:length])
        num_lines = whole[:length].count(b"\n")
        journal = Journal(written)
        assert [journal.recall() for _ in range(num_lines + 1)] == [*RESULTS[:num_lines], None]
        for result in RESULTS[num_lines:]:
            journal.record(result)
        assert written.read_bytes() == whole


def test_what_follows_a_damaged_line_is_done_again(written: Path) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(lines[0] + b"\x00\x00\n" + lines[2])
    journal = Journal(written)
    assert [journal.recall(), journal.recall()] == [RESULTS[0], None]
    assert written.read_bytes() == lines[0]
