from __future__ import annotations

from pathlib import Path

import pytest

from oft.datasets.examples import read_dataset
from oft.types import SPLITS, Counts
from tests.conftest import dataset


@pytest.mark.parametrize(("most", "read"), [(0, 5), (2, 2), (9, 5)])
def test_at_most_the_asked_number_is_read_and_0_means_all(picture_folder: Path, most: int, read: int) -> None:
    settings = dataset("image_folder", num_train_images=most)
    everything = list(read_dataset(dataset("image_folder"), picture_folder, "train", Counts()))
    counts = Counts()
    assert list(read_dataset(settings, picture_folder, "train", counts)) == everything[:read]
    assert counts.seen == read


def test_the_number_of_each_split_is_its_own(ade20k_root: Path) -> None:
    settings = dataset("ade20k", num_train_images=1, num_val_images=9)
    sizes = {split: len(list(read_dataset(settings, ade20k_root, split, Counts()))) for split in SPLITS}
    assert sizes == {"train": 1, "val": 1}
