from __future__ import annotations

import json
from pathlib import Path

import pytest

from oft.captions.store import CaptionRecord, read_captions, write_captions
from oft.errors import DataError

RECORDS = [
    CaptionRecord("b", "val", ("a “red” house", "a house")),
    CaptionRecord("a", "train", ()),
    CaptionRecord("c", "train", ("a tree",)),
]


def test_written_captions_are_read_back_and_their_bytes_do_not_depend_on_order(tmp_path: Path) -> None:
    write_captions(tmp_path / "one.jsonl", RECORDS)
    write_captions(tmp_path / "two.jsonl", reversed(RECORDS))
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    lines = (tmp_path / "one.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a", "b", "c"]
    assert read_captions(tmp_path / "one.jsonl") == {record.key: record.captions for record in RECORDS}
    assert list(read_captions(tmp_path / "one.jsonl", "val")) == ["b"]


def test_a_key_that_occurs_twice_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'b' occurs twice"):
        write_captions(tmp_path / "c.jsonl", [*RECORDS, RECORDS[0]])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"key": "a"}',
        '{"key": "a", "split": "test", "captions": []}',
        '{"key": "a", "split": "val", "captions": "text"}',
        '{"key": "a", "split": "val", "captions": [1]}',
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "c.jsonl").write_text('{"key": "0", "split": "val", "captions": []}\n' + line + "\n")
    with pytest.raises(DataError, match=r"c\.jsonl, line 2"):
        read_captions(tmp_path / "c.jsonl")


def test_a_missing_file_names_the_stage_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dvc repro caption@"):
        read_captions(tmp_path / "c.jsonl")
