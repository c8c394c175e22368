from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oft.data import preparation
from oft.data.ade20k import colourise
from oft.data.captions import CaptionRecord, write_captions
from oft.data.conditions.store import write_conditions
from oft.data.pictures import decode_array, encode_png, load_picture
from oft.data.preparation import (
    caption_dataset,
    extract_split,
    pack_split,
    pack_subject,
    read_dataset,
    square,
    subject_class,
    subject_prompts,
)
from oft.data.shards import Sample, decode_image
from oft.errors import DataError
from oft.params import Blip, Dataset
from oft.types import SPLITS, Counts, Split

BLIP = Blip(model="blip", batch_size=2, num_beams=1, max_new_tokens=5)


def dataset(reader: str, **changes: Any) -> Dataset:
    values = {"source": "own", "num_train_images": 0, "num_val_images": 0, "fit": "crop", "captions": "own"}
    return Dataset.model_validate({"reader": reader, **values, **changes})


@pytest.fixture
def folder(tmp_path: Path, save_picture: Callable[..., Path]) -> Path:
    """An image folder: four sound training pictures, one damaged, captions in the file names."""
    root = tmp_path / "folder"
    for number, name in enumerate(["a-dog", "a-cat", "a-tree", "a-house"]):
        save_picture(root / "train" / f"{name}.png", seed=number)
    (root / "train" / "broken.png").write_bytes(b"")
    (root / "val").mkdir()
    return root


@pytest.mark.parametrize(("most", "read"), [(0, 5), (2, 2), (9, 5)])
def test_at_most_the_asked_number_is_read_and_0_means_all(folder: Path, most: int, read: int) -> None:
    settings = dataset("image_folder", num_train_images=most)
    everything = list(read_dataset(dataset("image_folder"), folder, "train", Counts()))
    counts = Counts()
    assert list(read_dataset(settings, folder, "train", counts)) == everything[:read]
    assert counts.seen == read


def test_the_number_of_each_split_is_its_own(ade20k_root: Path) -> None:
    settings = dataset("ade20k", num_train_images=1, num_val_images=9)
    sizes = {split: len(list(read_dataset(settings, ade20k_root, split, Counts()))) for split in SPLITS}
    assert sizes == {"train": 1, "val": 1}


@pytest.mark.parametrize(("width_px", "height_px"), [(40, 20), (20, 40), (20, 20)])
def test_a_crop_takes_the_centre_and_a_pad_keeps_the_whole(width_px: int, height_px: int) -> None:
    pixels = np.zeros((height_px, width_px, 3), np.uint8)
    pixels[0, 0] = pixels[-1, -1] = 255
    picture = Image.fromarray(pixels)
    cropped, padded = np.asarray(square(picture, 20, "crop")), np.asarray(square(picture, 40, "pad"))
    assert cropped.shape == (20, 20, 3) and padded.shape == (40, 40, 3)
    assert cropped.any() == (width_px == height_px)
    assert padded.max() > 200


@pytest.mark.parametrize(("fit", "resolution_px"), [("crop", 24), ("pad", 32)])
def test_a_picture_and_its_id_map_keep_one_geometry(tmp_path: Path, fit: str, resolution_px: int) -> None:
    """The picture's red channel is its id map; at sizes that need no resampling they stay equal."""
    ids = np.random.default_rng(0).integers(0, 151, (24, 32), dtype=np.uint8)
    top = tmp_path / "ADEChallengeData2016"
    for kind, array in (("images", np.stack([ids] * 3, axis=2)), ("annotations", ids)):
        (top / kind / "training").mkdir(parents=True)
        Image.fromarray(array).save(top / kind / "training" / "a.png")
    [(key, condition, labels)] = extract_split(
        dataset("ade20k", fit=fit), "segmentation", {}, tmp_path, "train", resolution_px, Counts()
    )
    picture = square(load_picture(top / "images" / "training" / "a.png"), resolution_px, fit)
    assert key == "a" and labels is not None
    np.testing.assert_array_equal(labels, np.asarray(picture)[..., 0])
    np.testing.assert_array_equal(condition, colourise(labels.astype(np.uint8)))


def test_extraction_counts_what_it_leaves_out(ade20k_root: Path) -> None:
    counts = Counts()
    settings = dataset("ade20k")
    kept = list(extract_split(settings, "segmentation", {}, ade20k_root, "train", 16, counts))
    assert [key for key, _, _ in kept] == ["ADE_train_00000001"]
    assert counts.seen == counts.kept + counts.dropped.total() == 5
    too_small = Counts()
    assert not list(extract_split(settings, "segmentation", {}, ade20k_root, "val", 50, too_small))
    assert too_small.dropped == {"too_small": 1}


def test_a_condition_of_the_picture_takes_its_settings_and_keeps_no_id_map(coco_root: Path) -> None:
    def edges(low: int) -> int:
        [(_, condition, labels), _] = extract_split(
            dataset("coco"), "canny", {"low": low, "high": 200}, coco_root, "val", 24, Counts()
        )
        assert labels is None and condition.shape == (24, 24, 3)
        return int((condition > 0).sum())

    assert edges(1) > edges(199)


def test_part_maps_are_read_from_their_channel_and_padded(deepfashion_root: Path) -> None:
    settings = dataset("deepfashion", fit="pad")
    found = list(extract_split(settings, "densepose", {}, deepfashion_root, "train", 40, Counts()))
    assert len(found) == 2
    for _, condition, labels in found:
        assert labels is not None and labels.shape == (40, 40) and condition.shape == (40, 40, 3)
        np.testing.assert_array_equal(labels[0, 6:34], np.arange(28) % 25)


def test_own_captions_are_the_reader_s_for_every_split(ade20k_root: Path) -> None:
    (ade20k_root / "prompt_val_blip.json").write_text(
        json.dumps([{"image": "ADE_val_00000001.jpg", "prompt": "a lake"}]), encoding="utf-8"
    )
    counts: dict[Split, Counts] = {split: Counts() for split in SPLITS}
    records = list(caption_dataset(dataset("ade20k"), BLIP, ade20k_root, counts, "cpu"))
    assert records[-1] == CaptionRecord("ADE_val_00000001", "val", ("a lake",))
    assert [record.split for record in records] == ["train"] * 4 + ["val"]
    assert all(tally.seen == tally.kept + tally.dropped.total() for tally in counts.values())


def test_a_prompt_file_captions_by_the_stem_and_leaves_others_without(folder: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"image": "x/a-dog.jpg", "prompt": "a brown dog"}]), encoding="utf-8")
    settings = dataset("image_folder", captions=str(prompts))
    records = list(caption_dataset(settings, BLIP, folder, {"train": Counts()}, "cpu"))
    assert {record.key: record.captions for record in records if record.captions} == {
        "train-a-dog": ("a brown dog",)
    }
    assert len(records) == 5


def test_blip_sees_the_pictures_that_can_be_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def caption(
        pictures: Iterable[tuple[str, Image.Image]], *settings: object, **options: object
    ) -> Iterator[tuple[str, str]]:
        assert settings == (BLIP.model, BLIP.batch_size, BLIP.num_beams, "cpu")
        assert options == {"max_new_tokens": BLIP.max_new_tokens}
        for key, image in pictures:
            yield key, f"{key} {image.width}x{image.height}"

    monkeypatch.setattr(preparation, "caption_with_blip", caption)
    counts: dict[Split, Counts] = {"train": Counts(), "val": Counts()}
    records = list(caption_dataset(dataset("image_folder", captions="blip"), BLIP, folder, counts, "cpu"))
    keys = ["train-a-cat", "train-a-dog", "train-a-house", "train-a-tree"]
    assert records == [CaptionRecord(key, "train", (f"{key} 32x24",)) for key in keys]
    assert (counts["train"].seen, counts["train"].kept) == (5, 4)
    assert counts["train"].dropped == {"unreadable": 1}


def pack(folder: Path, tmp_path: Path, captions: dict[str, tuple[str, ...]]) -> tuple[list[Sample], Counts]:
    """Pack the folder's training pictures with canny conditions and the given captions."""
    settings = dataset("image_folder")
    conditions, captions_file = tmp_path / "conditions" / "train.tar", tmp_path / "captions.jsonl"
    write_conditions(conditions, extract_split(settings, "canny", {}, folder, "train", 24, Counts()))
    write_captions(captions_file, [CaptionRecord(key, "train", texts) for key, texts in captions.items()])
    counts = Counts()
    samples = pack_split("mine", settings, folder, conditions, captions_file, "train", 24, 100, counts)
    return list(samples), counts


def test_a_sample_is_the_picture_at_the_run_s_size_with_condition_captions_and_origin(
    folder: Path, tmp_path: Path
) -> None:
    keys = ["train-a-cat", "train-a-dog", "train-a-house", "train-a-tree"]
    samples, counts = pack(folder, tmp_path, {key: (key, "again") for key in keys})
    assert [sample.key for sample in samples] == keys
    assert (counts.seen, counts.kept, counts.dropped) == (4, 4, {})
    for sample in samples:
        name = f"{sample.key.removeprefix('train-')}.png"
        picture = np.asarray(square(load_picture(folder / "train" / name), 24, "crop")).astype(int)
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


def test_a_picture_without_a_caption_is_dropped_and_named(folder: Path, tmp_path: Path) -> None:
    samples, counts = pack(folder, tmp_path, {"train-a-cat": ("a cat",), "train-a-dog": ()})
    assert [sample.key for sample in samples] == ["train-a-cat"]
    assert counts.seen == counts.kept + counts.dropped.total() == 4
    assert counts.offenders == {"caption_missing": ["a-dog.png", "a-house.png", "a-tree.png"]}


def test_labels_reach_the_sample_unchanged(ade20k_root: Path, tmp_path: Path) -> None:
    settings = dataset("ade20k")
    extracted = list(extract_split(settings, "segmentation", {}, ade20k_root, "val", 16, Counts()))
    write_conditions(tmp_path / "val.tar", extracted)
    write_captions(tmp_path / "c.jsonl", [CaptionRecord("ADE_val_00000001", "val", ("a lake",))])
    [sample] = pack_split(
        "ade20k", settings, ade20k_root, tmp_path / "val.tar", tmp_path / "c.jsonl", "val", 16, 95, Counts()
    )
    [(_, condition, labels)] = extracted
    assert labels is not None and sample.labels == encode_png(labels.astype(np.uint8))
    assert sample.condition == encode_png(condition)


def test_a_condition_of_no_picture_is_refused(folder: Path, tmp_path: Path) -> None:
    black = np.zeros((24, 24, 3), np.uint8)
    write_conditions(tmp_path / "train.tar", [("stranger", black, None)])
    write_captions(tmp_path / "c.jsonl", [])
    settings, captions = dataset("image_folder"), tmp_path / "c.jsonl"
    samples = pack_split(
        "mine", settings, folder, tmp_path / "train.tar", captions, "train", 24, 95, Counts()
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
