from __future__ import annotations

from pathlib import Path

import pytest

from oft.datasets.splits import Part, hashed_split, listed_names, named_part, split_rule


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


def test_a_line_of_a_list_is_a_name_blanks_and_all(tmp_path: Path) -> None:
    present = ["a b.jpg", "a.jpg", "c.jpg", "d  e.png", "rest.jpg"]
    lines = ["a b.jpg", "images/c.jpg 3", "d  e.png", "a\t1", "gone one.jpg", "", "  "]
    (tmp_path / "train.txt").write_text("\r\n".join(lines), encoding="utf-8")
    named = listed_names(tmp_path, "train", present, lambda name: "val")
    assert named == ["a b.jpg", "c.jpg", "d  e.png", "a.jpg", "gone one.jpg"]
    assert listed_names(tmp_path, "val", present, lambda name: "val") == ["rest.jpg"]
