from __future__ import annotations

import pytest

from oft.datasets.splits import Part, hashed_split, named_part, split_rule


@pytest.mark.parametrize("percent", [1, 5, 50])
def test_a_hash_deals_out_the_asked_share_and_never_changes(percent: int) -> None:
    splits = [hashed_split(f"images/{number}.png", percent) for number in range(5000)]
    assert splits.count("val") / 5000 == pytest.approx(percent / 100, abs=0.02)
    assert hashed_split("images/26.png", 1) == "val"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("data/train-00000-of-00001", "train"),
        ("data/validation-00000-of-00002", "val"),
        ("default/Test/0000", "test"),
        ("train/dev/x", "val"),
        ("strain/portraits", None),
        ("0000", None),
        (".", None),
    ],
)
def test_paths_name_their_part_as_on_the_hub(name: str, part: Part | None) -> None:
    assert named_part(name) == part


def test_validation_goes_before_test_and_a_hash_serves_where_neither_is() -> None:
    both = split_rule({"train", "val", "test", None}, 50)
    assert [both(part, "x") for part in ("train", None, "val", "test")] == ["train", "train", "val", None]
    tested = split_rule({"train", "test"}, 50)
    assert [tested(part, "x") for part in ("train", "test")] == ["train", "val"]
    neither = split_rule({"train"}, 50)
    names = [str(number) for number in range(40)]
    assert [neither("train", name) for name in names] == [hashed_split(name, 50) for name in names]
