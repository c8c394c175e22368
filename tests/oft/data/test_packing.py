from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from oft.data.captions import CaptionRecord, write_captions
from oft.data.conditions.store import write_conditions
from oft.data.examples import square
from oft.data.extraction import extract_split
from oft.data.packing import pack_split, pack_subject, subject_class, subject_prompts
from oft.data.pictures import decode_array, encode_png, load_picture
from oft.data.shards import Sample, decode_image
from oft.errors import DataError
from oft.types import Counts
from tests.conftest import dataset


def pack(
    picture_folder: Path,
    tmp_path: Path,
    captions: Mapping[str, tuple[str, ...]],
    rule: str = "all",
    template: str = "{caption}",
) -> tuple[list[Sample], Counts]:
    """Pack the folder's training pictures with canny conditions and the given captions."""
    settings = dataset("image_folder", rule=rule, template=template)
    conditions, captions_file = tmp_path / "conditions" / "train.tar", tmp_path / "captions.jsonl"
    write_conditions(conditions, extract_split(settings, "canny", {}, picture_folder, "train", 24, Counts()))
    write_captions(captions_file, [CaptionRecord(key, "train", texts) for key, texts in captions.items()])
    counts = Counts()
    samples = pack_split(
        "mine", settings, picture_folder, conditions, captions_file, "train", 24, 100, counts, 0
    )
    return list(samples), counts


def test_a_sample_is_the_picture_at_the_run_s_size_with_condition_captions_and_origin(
    picture_folder: Path, tmp_path: Path
) -> None:
    keys = ["train-a-cat", "train-a-dog", "train-a-house", "train-a-tree"]
    samples, counts = pack(picture_folder, tmp_path, {key: (key, "again") for key in keys})
    assert [sample.key for sample in samples] == keys
    assert (counts.seen, counts.kept, counts.dropped) == (4, 4, {})
    for sample in samples:
        name = f"{sample.key.removeprefix('train-')}.png"
        picture = np.asarray(square(load_picture(picture_folder / "train" / name), 24, "crop")).astype(int)
        assert np.abs(decode_image(sample) - picture).max() <= 8
        assert sample.condition is not None and decode_array(sample.condition).shape == (24, 24, 3)
        assert sample.labels is None
        assert sample.meta == {
            "captions": [sample.key, "again"],
            "dataset": "mine",
            "key": sample.key,
            "licence": "unspecified",
            "source": name,
        }


def test_a_picture_without_a_caption_is_dropped_and_named(picture_folder: Path, tmp_path: Path) -> None:
    samples, counts = pack(picture_folder, tmp_path, {"train-a-cat": ("a cat",), "train-a-dog": ()})
    assert [sample.key for sample in samples] == ["train-a-cat"]
    assert counts.seen == counts.kept + counts.dropped.total() == 4
    assert counts.offenders == {"caption_missing": ["a-dog.png", "a-house.png", "a-tree.png"]}


def test_captions_follow_the_rule_and_the_template(picture_folder: Path, tmp_path: Path) -> None:
    captions = {"train-a-cat": ("a cat", "an animal"), "train-a-dog": ("a dog", "an animal")}
    samples, counts = pack(picture_folder, tmp_path, captions, "first", "{caption}, naruto style")
    assert [s.meta["captions"] for s in samples] == [["a cat, naruto style"], ["a dog, naruto style"]]
    assert counts.dropped == {"caption_missing": 2}


def test_a_template_without_a_field_captions_every_picture(picture_folder: Path, tmp_path: Path) -> None:
    samples, counts = pack(picture_folder, tmp_path, {}, template="naruto style")
    assert [sample.meta["captions"] for sample in samples] == [["naruto style"]] * 4
    assert counts.dropped == {}


def test_labels_reach_the_sample_unchanged(ade20k_root: Path, tmp_path: Path) -> None:
    settings = dataset("ade20k")
    extracted = list(extract_split(settings, "segmentation", {}, ade20k_root, "val", 16, Counts()))
    write_conditions(tmp_path / "val.tar", extracted)
    write_captions(tmp_path / "c.jsonl", [CaptionRecord("ADE_val_00000001", "val", ("a lake",))])
    [sample] = pack_split(
        "ade20k",
        settings,
        ade20k_root,
        tmp_path / "val.tar",
        tmp_path / "c.jsonl",
        "val",
        16,
        95,
        Counts(),
        0,
    )
    [(_, condition, labels)] = extracted
    assert labels is not None and sample.labels == encode_png(labels.astype(np.uint8))
    assert sample.condition == encode_png(condition)


def test_a_condition_of_no_picture_is_refused(picture_folder: Path, tmp_path: Path) -> None:
    black = np.zeros((24, 24, 3), np.uint8)
    write_conditions(tmp_path / "train.tar", [("stranger", black, None)])
    write_captions(tmp_path / "c.jsonl", [])
    settings, captions = dataset("image_folder"), tmp_path / "c.jsonl"
    samples = pack_split(
        "mine", settings, picture_folder, tmp_path / "train.tar", captions, "train", 24, 95, Counts(), 0
    )
    with pytest.raises(DataError, match=r"stranger is no picture of data set mine; run `dvc repro`"):
        list(samples)


def test_a_subject_is_its_own_pictures_under_the_instance_prompt(dreambooth_root: Path) -> None:
    counts = Counts()
    settings = dataset("dreambooth")
    samples = list(pack_subject("db", settings, dreambooth_root, "dog", "sks", 16, 95, counts))
    assert [sample.key for sample in samples] == ["dog-00", "dog-03"]
    assert all(sample.meta["captions"] == ["a sks dog"] for sample in samples)
    assert all(decode_image(sample).shape == (16, 16, 3) for sample in samples)
    assert (counts.seen, counts.kept) == (2, 2)
    small = Counts()
    assert not list(pack_subject("db", settings, dreambooth_root, "dog", "sks", 50, 95, small))
    assert small.dropped == {"too_small": 2}


def test_prompts_are_those_of_the_subject_s_class_in_order(dreambooth_root: Path) -> None:
    assert subject_prompts(dreambooth_root, "rc_car", "sks") == {
        "p00": "a sks toy in the jungle",
        "p01": "a red sks toy",
    }
    live = subject_prompts(dreambooth_root, "dog2", "sks")
    assert sorted(live) == list(live) == ["p00", "p01", "p02"] and live["p02"] == "a wet sks dog"


def test_a_subject_that_is_not_listed_is_refused_with_those_that_are(dreambooth_root: Path) -> None:
    assert subject_class(dreambooth_root, "rc_car") == "toy"
    with pytest.raises(DataError, match=r"'cow' is not listed; its subjects: dog, dog2, rc_car"):
        subject_class(dreambooth_root, "cow")
