from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from oft.data.captions import (
    CaptionRecord,
    choose_caption,
    own_captions,
    read_captions,
    select_captions,
    write_captions,
)
from oft.data.readers import read
from oft.errors import DataError
from oft.types import Counts

RECORDS = [
    CaptionRecord("b", "val", ("a “red” house", "a house")),
    CaptionRecord("a", "train", ()),
    CaptionRecord("c", "train", ("a tree",)),
]


def test_own_captions_are_the_reader_s(coco_root: Path) -> None:
    records = list(own_captions(read("coco", coco_root, "val", Counts())))
    assert records[0] == CaptionRecord("000000000009", "val", ("a tree", "A tree by the road."))


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


def test_the_first_caption_or_one_drawn_from_seed_key_and_epoch() -> None:
    captions = [f"caption {number}" for number in range(5)]
    assert choose_caption(captions, "first") == "caption 0"
    drawn = [choose_caption(captions, "random", key=f"k{number}", seed=1) for number in range(500)]
    assert drawn == [choose_caption(captions, "random", key=f"k{number}", seed=1) for number in range(500)]
    assert min(np.unique(drawn, return_counts=True)[1]) > 60
    for other in ({"seed": 2}, {"seed": 1, "epoch": 1}):
        assert drawn != [choose_caption(captions, "random", key=f"k{n}", **other) for n in range(500)]
    assert choose_caption([], "random") == choose_caption([], "first") == ""


def test_a_shard_keeps_all_captions_or_the_chosen_one() -> None:
    captions = ("a", "b", "c")
    assert select_captions(captions, "all") == captions
    assert select_captions(captions, "first") == ("a",)
    assert select_captions(captions, "random", key="k") == (choose_caption(captions, "random", key="k"),)
    assert select_captions((), "first") == select_captions((), "all") == ()
