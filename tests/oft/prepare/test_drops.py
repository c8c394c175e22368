from __future__ import annotations

import json

import pytest

from oft.errors import DataError
from oft.pictures import EXPLANATIONS
from oft.prepare.drops import describe_drops, refuse_empty
from oft.types import Counts


def dropped(reason: str, *names: str) -> Counts:
    tally = Counts(seen=len(names))
    for name in names:
        tally.drop(reason, name)
    return tally


@pytest.mark.parametrize("reason", [*EXPLANATIONS, *(f"annotation_{reason}" for reason in EXPLANATIONS)])
def test_every_reason_of_a_picture_is_explained(reason: str) -> None:
    [line] = describe_drops(dropped(reason, "a.png", "b.png"))
    assert line.startswith(f"2 {reason} (") and line.endswith("): a.png, b.png")
    assert EXPLANATIONS[reason.removeprefix("annotation_")] in line


def test_a_split_with_a_sample_passes() -> None:
    refuse_empty("mine", "val", {"extract": dropped("unreadable", "a.png"), "shard": Counts(2, 1)})


def test_a_split_that_nothing_is_left_of_says_which_stage_dropped_what() -> None:
    tallies = {"extract": dropped("unreadable", "a.png"), "shard": dropped("caption_missing", "b.png")}
    with pytest.raises(DataError) as raised:
        refuse_empty("canny_mine", "val", tallies)
    first, extract, shard = str(raised.value).splitlines()
    assert first.startswith("canny_mine: val has no sample, so nothing can be sampled")
    assert extract.startswith("  extract: 1 unreadable (") and extract.endswith(": a.png")
    assert shard.startswith("  shard: 1 caption_missing (") and "captions.source" in shard


def test_a_split_that_never_had_a_picture_says_what_to_add() -> None:
    with pytest.raises(DataError, match=r"the data set has no such picture; .*docs/datasets\.md"):
        refuse_empty("canny_mine", "val", {"extract": Counts(), "shard": Counts()})


def test_a_tally_is_what_its_file_says() -> None:
    tally = dropped("too_small", "b.png", "a.png")
    assert Counts.from_json(json.loads(json.dumps(tally.to_json()))) == tally
