"""A folder to train on: without splits 5 % of it, and never none, is held out; with splits as any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from oft.datasets.image_folder import read_image_folder
from oft.datasets.train_folder import read_train_folder
from oft.types import Counts


def make(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(("number", "held_out"), [(2, 1), (3, 1), (400, 20)])
def test_a_few_of_an_unsplit_folder_are_held_out(tmp_path: Path, number: int, held_out: int) -> None:
    make(tmp_path, [f"{place}.png" for place in range(number)])
    keys = {
        split: [example.key for example in read_train_folder(tmp_path, split, Counts())]
        for split in ("train", "val")
    }
    assert len(keys["train"]) + len(keys["val"]) == number
    assert not set(keys["train"]) & set(keys["val"])
    assert len(keys["val"]) == pytest.approx(held_out, rel=0.5)


def test_one_picture_is_to_train_on(tmp_path: Path) -> None:
    make(tmp_path, ["dog.png"])
    assert [example.key for example in read_train_folder(tmp_path, "train", Counts())] == ["dog"]


def test_a_folder_with_splits_is_read_as_any(tmp_path: Path) -> None:
    make(tmp_path, ["train/a.png", "train/b.png", "val/c.png"])
    for split in ("train", "val"):
        ours = [example.key for example in read_train_folder(tmp_path, split, Counts())]
        assert ours == [example.key for example in read_image_folder(tmp_path, split, Counts())]
