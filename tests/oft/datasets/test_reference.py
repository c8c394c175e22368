from __future__ import annotations

from pathlib import Path

import pytest

from oft.datasets.reference import read_reference
from oft.errors import DataError
from oft.types import Counts


def test_pictures_are_paired_by_name_with_maps_and_the_full_prompt_file(reference_root: Path) -> None:
    counts = Counts()
    train = list(read_reference(reference_root, "train", counts))
    assert [example.captions for example in train] == [("a city 0",), ("a city 1",)]
    assert train[0].annotation == reference_root / "train" / "segm" / "0.png"
    assert counts.offenders == {"annotation_missing": ["train/2.png"]}
    assert [example.key for example in read_reference(reference_root, "val", Counts())] == ["val-0", "val-8"]


def test_one_folder_of_conditioning_pictures_is_demanded(reference_root: Path) -> None:
    (reference_root / "train" / "depth").mkdir()
    with pytest.raises(DataError, match=r"beside color, it holds depth, segm; .*leave there the one"):
        next(read_reference(reference_root, "train", Counts()))
    (reference_root / "train" / "depth").rmdir()
    (reference_root / "train" / "segm").rename(reference_root / "segm")
    with pytest.raises(DataError, match=r"it holds none"):
        next(read_reference(reference_root, "train", Counts()))
