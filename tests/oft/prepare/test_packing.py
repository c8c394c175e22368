from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from oft.captions.store import CaptionRecord, write_captions
from oft.pictures import load_picture
from oft.prepare.extraction import extract_split
from oft.prepare.geometry import Geometry
from oft.prepare.packing import pack_split
from oft.shards.shards import Sample, decode_condition, decode_image
from oft.types import Counts
from tests.conftest import dataset


def pack(
    picture_folder: Path,
    tmp_path: Path,
    captions: Mapping[str, tuple[str, ...]],
    rule: str = "all",
    template: str = "{caption}",
    *,
    flip: bool = False,
) -> tuple[list[Sample], Counts]:
    """Pack the folder's training pictures with canny conditions and the given captions."""
    settings = dataset("image_folder", rule=rule, template=template, flip=flip)
    prepared = extract_split(settings, "canny", {}, picture_folder, "train", 24, 100, Counts())
    captions_file = tmp_path / "captions.jsonl"
    write_captions(captions_file, [CaptionRecord(key, "train", texts) for key, texts in captions.items()])
    counts = Counts()
    packed = pack_split("mine", settings.captions, prepared, captions_file, "train", counts, 0)
    return list(packed), counts


def test_a_sample_is_the_picture_at_the_run_s_size_with_condition_captions_and_origin(
    picture_folder: Path, tmp_path: Path
) -> None:
    keys = ["train-a-cat", "train-a-dog", "train-a-house", "train-a-tree"]
    samples, counts = pack(picture_folder, tmp_path, {key: (key, "again") for key in keys})
    assert [sample.key for sample in samples] == keys
    assert (counts.seen, counts.kept, counts.dropped) == (4, 4, {})
    for sample in samples:
        name = f"{sample.key.removeprefix('train-')}.png"
        loaded: Image.Image = load_picture(picture_folder / "train" / name)
        picture = np.asarray(Geometry(24).picture(loaded)).astype(int)
        assert np.abs(decode_image(sample) - picture).max() <= 8
        condition = decode_condition(sample)
        assert condition is not None and condition.shape == (24, 24, 3)
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


def test_a_mirror_image_has_its_picture_s_captions(picture_folder: Path, tmp_path: Path) -> None:
    samples, counts = pack(picture_folder, tmp_path, {"train-a-cat": ("a cat",)}, flip=True)
    assert [sample.key for sample in samples] == ["train-a-cat", "train-a-cat-flipped"]
    assert [sample.meta["captions"] for sample in samples] == [["a cat"]] * 2
    assert [sample.meta.get("mirrors") for sample in samples] == [None, "train-a-cat"]
    assert (counts.seen, counts.kept) == (8, 2)


def test_captions_follow_the_rule_and_the_template(picture_folder: Path, tmp_path: Path) -> None:
    captions = {"train-a-cat": ("a cat", "an animal"), "train-a-dog": ("a dog", "an animal")}
    samples, counts = pack(picture_folder, tmp_path, captions, "first", "{caption}, naruto style")
    assert [s.meta["captions"] for s in samples] == [["a cat, naruto style"], ["a dog, naruto style"]]
    assert counts.dropped == {"caption_missing": 2}


def test_a_template_without_a_field_captions_every_picture(picture_folder: Path, tmp_path: Path) -> None:
    samples, counts = pack(picture_folder, tmp_path, {}, template="naruto style")
    assert [sample.meta["captions"] for sample in samples] == [["naruto style"]] * 4
    assert counts.dropped == {}
