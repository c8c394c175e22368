from __future__ import annotations

from pathlib import Path

import pytest

from oft.datasets.splits import Part, hashed_split, hashed_val, listed_names, named_part, split_rule


@pytest.mark.parametrize("percent", [1, 5, 50])
def test_a_hash_deals_out_the_asked_share_and_never_changes(percent: int) -> None:
    splits = [hashed_split(f"images/{number}.png", percent) for number in range(5000)]
    assert splits.count("val") / 5000 == pytest.approx(percent / 100, abs=0.02)
    assert hashed_split("images/26.png", 1) == "val"


@pytest.mark.parametrize("percent", [0, 1, 5, 50, 99, 100])
@pytest.mark.parametrize("size", [2, 3, 5, 20, 40])
def test_of_two_pictures_or_more_one_is_on_either_side(size: int, percent: int) -> None:
    for start in range(0, 2000, size):
        names = [f"{number}.jpg" for number in range(start, start + size)]
        val = hashed_val(names, percent)
        assert 0 < len(val) < size
        assert val == hashed_val(reversed(names), percent)


def test_a_picture_alone_trains_unless_its_hash_says_otherwise() -> None:
    assert hashed_val([], 5) == frozenset() == hashed_val(["images/0.png"], 1)
    assert hashed_val(["images/26.png"], 1) == {"images/26.png"}


@pytest.mark.parametrize("percent", [5, 95])
def test_a_picture_more_moves_at_most_one_other(percent: int) -> None:
    names = [f"{number}.jpg" for number in range(120)]
    before = hashed_val(names[:1], percent)
    for size in range(2, len(names)):
        after = hashed_val(names[:size], percent)
        assert len((before ^ after) - {names[size - 1]}) <= 1
        before = after
    assert before == {name for name in names[:-1] if hashed_split(name, percent) == "val"}


@pytest.mark.parametrize("lists", [(), ("train",), ("val",), ("train", "val")])
def test_lists_go_before_any_rule(lists: tuple[str, ...], tmp_path: Path) -> None:
    listed = {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg"]}
    for split in lists:
        (tmp_path / f"{split}.txt").write_text("\n".join(listed[split]))
    present = ["a.jpg", "b.jpg", "c.jpg"]
    rule = {"c.jpg"} if not lists else set()
    assert listed_names(tmp_path, "train", present, lambda _: rule) == listed["train"]
    assert listed_names(tmp_path, "val", present, lambda _: rule) == listed["val"]


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
    both = split_rule({"train", "val", "test", None}, 50, ["x"])
    assert [both(part, "x") for part in ("train", None, "val", "test")] == ["train", "train", "val", None]
    tested = split_rule({"train", "test"}, 50, ["x"])
    assert [tested(part, "x") for part in ("train", "test")] == ["train", "val"]
    names = [str(number) for number in range(40)]
    neither = split_rule({"train"}, 50, names)
    assert [neither("train", name) for name in names] == [hashed_split(name, 50) for name in names]


def test_a_line_of_a_list_is_a_name_blanks_and_all(tmp_path: Path) -> None:
    present = ["a b.jpg", "a.jpg", "c.jpg", "d  e.png", "rest.jpg"]
    lines = ["a b.jpg", "images/c.jpg 3", "d  e.png", "a\t1", "gone one.jpg", "", "  "]
    (tmp_path / "train.txt").write_text("\r\n".join(lines), encoding="utf-8")
    named = listed_names(tmp_path, "train", present, lambda names: set(names))
    assert named == ["a b.jpg", "c.jpg", "d  e.png", "a.jpg", "gone one.jpg"]
    assert listed_names(tmp_path, "val", present, lambda names: set(names)) == ["rest.jpg"]
