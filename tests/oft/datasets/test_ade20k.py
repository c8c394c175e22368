from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from oft.datasets.ade20k import read_ade20k
from oft.errors import DataError
from oft.types import Counts


def test_pictures_are_paired_with_their_maps(ade20k_root: Path) -> None:
    counts = Counts()
    examples = list(read_ade20k(ade20k_root, "train", counts))
    assert [example.key for example in examples] == [f"ADE_train_0000000{number}" for number in (1, 2, 3, 5)]
    assert all(example.annotation and example.annotation.stem == example.image.stem for example in examples)
    assert counts.to_json() == {
        "seen": 5,
        "kept": 0,
        "dropped": {"annotation_missing": 1},
        "offenders": {"annotation_missing": ["ADE_train_00000004.jpg"]},
    }


def test_the_root_may_be_the_official_folder_itself(ade20k_root: Path) -> None:
    inner = list(read_ade20k(ade20k_root / "ADEChallengeData2016", "val", Counts()))
    assert inner == list(read_ade20k(ade20k_root, "val", Counts()))


@pytest.mark.parametrize("place", [".", "train", "ADEChallengeData2016"])
def test_captions_come_from_a_prompt_file_where_there_is_one(ade20k_root: Path, place: str) -> None:
    assert {example.captions for example in read_ade20k(ade20k_root, "train", Counts())} == {()}
    entry = {
        "source": "source/ADE_train_00000001.png",
        "target": "target/ADE_train_00000001.png",
        "prompt": "a house",
    }
    (ade20k_root / place).mkdir(exist_ok=True)
    (ade20k_root / place / "prompt_train_blip.json").write_text(json.dumps(entry) + "\n")
    captions = {example.key: example.captions for example in read_ade20k(ade20k_root, "train", Counts())}
    assert captions["ADE_train_00000001"] == ("a house",) and captions["ADE_train_00000002"] == ()


def test_missing_annotations_folder_is_named(ade20k_root: Path) -> None:
    shutil.rmtree(ade20k_root / "ADEChallengeData2016" / "annotations" / "validation")
    with pytest.raises(DataError, match="annotations/validation"):
        next(read_ade20k(ade20k_root, "val", Counts()))
