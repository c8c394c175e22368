from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from oft.captions.captioning import Captioned, caption_dataset, captions_from
from oft.captions.store import CaptionRecord, write_captions
from oft.errors import DataError
from oft.types import SPLITS, Counts, Examples, Split
from tests.conftest import dataset


def caption(pictures: Path, prompts: Path) -> list[CaptionRecord]:
    """Caption the training pictures of a folder by a prompt file."""
    counts: dict[Split, Counts] = {"train": Counts()}
    return list(caption_dataset(dataset("image_folder"), pictures, counts, captions_from(str(prompts))))


def test_own_captions_are_the_reader_s_for_every_split(ade20k_root: Path) -> None:
    (ade20k_root / "prompt_val_blip.json").write_text(
        json.dumps([{"image": "ADE_val_00000001.jpg", "prompt": "a lake"}]), encoding="utf-8"
    )
    counts: dict[Split, Counts] = {split: Counts() for split in SPLITS}
    records = list(caption_dataset(dataset("ade20k"), ade20k_root, counts, captions_from("own")))
    assert records[-1] == CaptionRecord("ADE_val_00000001", "val", ("a lake",))
    assert [record.split for record in records] == ["train"] * 4 + ["val"]
    assert all(tally.seen == tally.kept + tally.dropped.total() for tally in counts.values())


def test_a_prompt_file_captions_by_the_stem_and_leaves_others_without(
    picture_folder: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"image": "x/a-dog.jpg", "prompt": "a brown dog"}]), encoding="utf-8")
    records = caption(picture_folder, prompts)
    assert {record.key: record.captions for record in records if record.captions} == {
        "train-a-dog": ("a brown dog",)
    }
    assert len(records) == 5


def test_two_pictures_of_one_name_have_no_caption_in_a_prompt_file(tmp_path: Path) -> None:
    for folder in ("cats", "dogs"):
        (tmp_path / "own" / "train" / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "own" / "train" / folder / "1.png")
    (tmp_path / "own" / "val").mkdir()  # all of train trains
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"image": "1.png", "prompt": "an animal"}]), encoding="utf-8")
    with pytest.raises(DataError, match="are both '1'; rename one"):
        caption(tmp_path / "own", prompts)


def test_a_picture_that_comes_repeatedly_has_its_caption_every_time(tmp_path: Path) -> None:
    for name in ("1_sks dog/a.png", "3_cat/b.png"):
        (tmp_path / "own" / "train" / name).parent.mkdir(parents=True)
        (tmp_path / "own" / "train" / name).touch()
    (tmp_path / "own" / "val").mkdir()  # all of train trains
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"image": f"{name}.png", "prompt": f"the {name}"} for name in "ab"]))
    found = [record.captions for record in caption(tmp_path / "own", prompts)]
    assert found == [("the a",), ("the b",), ("the b",), ("the b",)]


def test_what_a_network_writes_is_cleaned_and_what_it_cannot_see_is_counted(picture_folder: Path) -> None:
    def describe(examples: Examples, counts: Counts) -> Captioned:
        for example in examples:
            if example.image.name == "broken.png":
                counts.drop("unreadable", example.image.name)
            else:
                counts.kept += 1
                yield example.key, (f"{example.key}\n", "")

    counts: dict[Split, Counts] = {"train": Counts(), "val": Counts()}
    records = list(caption_dataset(dataset("image_folder"), picture_folder, counts, describe))
    keys = ["train-a-cat", "train-a-dog", "train-a-house", "train-a-tree"]
    assert records == [CaptionRecord(key, "train", (key,)) for key in keys]
    assert (counts["train"].seen, counts["train"].kept) == (5, 4)
    assert counts["train"].dropped == {"unreadable": 1}


def test_captions_that_say_nothing_are_none(picture_folder: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    said = {"a-dog": "a brown\x07 dog \ud83c", "a-cat": " \n", "a-tree": "\x00"}
    lines = [{"source": "s.png", "target": f"t/{name}.png", "prompt": text} for name, text in said.items()]
    prompts.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    records = caption(picture_folder, prompts)
    captions = {record.key: record.captions for record in records if record.captions}
    assert captions == {"train-a-dog": ("a brown dog",)}
    write_captions(tmp_path / "captions.jsonl", records)  # half a surrogate pair could not be written
