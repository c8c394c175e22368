"""Which pictures are learned from and which are held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.angles.pictures import HOLD_OUT_EVERY, PictureSets, read_picture_sets
from oft.errors import DataError
from tests.conftest import dataset

from .conftest import NUM_HELD_OUT, NUM_TRAIN, SIDE_PX


def save_levels(folder: Path, levels: range, side_px: int = 20) -> None:
    """Write grey pictures, each of one level; sorted by name they are sorted by level."""
    folder.mkdir(parents=True, exist_ok=True)
    for level in levels:
        Image.new("RGB", (side_px, side_px), (level,) * 3).save(folder / f"{level:03}.png")


def levels_of(pictures: np.ndarray) -> list[int]:
    return [int(picture.mean()) for picture in pictures]


def test_a_data_set_keeps_its_own_splits(sets: PictureSets) -> None:
    assert sets.train.shape == (NUM_TRAIN, SIDE_PX, SIDE_PX, 3)
    assert sets.held_out.shape == (NUM_HELD_OUT, SIDE_PX, SIDE_PX, 3)
    assert sets.train.dtype == sets.held_out.dtype == np.uint8 and sets.num_dropped == 0


def test_no_more_are_read_than_asked_for(scenes: Path, sets: PictureSets) -> None:
    few = read_picture_sets(dataset(), scenes, SIDE_PX, 5, 2)
    np.testing.assert_array_equal(few.train, sets.train[:5])
    np.testing.assert_array_equal(few.held_out, sets.held_out[:2])


@pytest.mark.parametrize("split", ["", "val"])
def test_of_a_folder_with_one_split_every_fifth_picture_is_held_out(tmp_path: Path, split: str) -> None:
    save_levels(tmp_path / split, range(12))
    found = read_picture_sets(dataset(reader="image_folder"), tmp_path, 16, 100, 100)
    assert levels_of(found.held_out) == [0, 5, 10]
    assert levels_of(found.train) == [level for level in range(12) if level % HOLD_OUT_EVERY]


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    save_levels(tmp_path / "train", range(4))
    save_levels(tmp_path / "val", range(4, 6))
    save_levels(tmp_path / "train", range(90, 92), side_px=4)
    (tmp_path / "val" / "broken.png").write_bytes(b"no picture")
    found = read_picture_sets(dataset(reader="image_folder"), tmp_path, 16, 100, 100)
    assert levels_of(found.train) == [0, 1, 2, 3] and levels_of(found.held_out) == [4, 5]
    assert found.num_dropped == 3


def test_one_picture_is_refused_with_a_remedy(tmp_path: Path) -> None:
    save_levels(tmp_path, range(1))
    save_levels(tmp_path, range(90, 92), side_px=4)
    with pytest.raises(
        DataError, match=rf"{tmp_path}: .*it has 1 \(dropped: 2 too_small\); .*angles\.dataset"
    ):
        read_picture_sets(dataset(reader="image_folder"), tmp_path, 16, 100, 100)
