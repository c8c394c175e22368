from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from oft.data import captioning
from oft.data.captioning import caption_dataset
from oft.data.captions import CaptionRecord
from oft.errors import DataError
from oft.params import Blip
from oft.types import SPLITS, Counts, Split
from tests.conftest import dataset

BLIP = Blip(model="blip", batch_size=2, num_beams=1, max_new_tokens=5)


def test_own_captions_are_the_reader_s_for_every_split(ade20k_root: Path) -> None:
    (ade20k_root / "prompt_val_blip.json").write_text(
        json.dumps([{"image": "ADE_val_00000001.jpg", "prompt": "a lake"}]), encoding="utf-8"
    )
    counts: dict[Split, Counts] = {split: Counts() for split in SPLITS}
    records = list(caption_dataset(dataset("ade20k"), BLIP, ade20k_root, counts, "cpu"))
    assert records[-1] == CaptionRecord("ADE_val_00000001", "val", ("a lake",))
    assert [record.split for record in records] == ["train"] * 4 + ["val"]
    assert all(tally.seen == tally.kept + tally.dropped.total() for tally in counts.values())


def test_a_prompt_file_captions_by_the_stem_and_leaves_others_without(
    picture_folder: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"image": "x/a-dog.jpg", "prompt": "a brown dog"}]), encoding="utf-8")
    settings = dataset("image_folder", captions=str(prompts))
    records = list(caption_dataset(settings, BLIP, picture_folder, {"train": Counts()}, "cpu"))
    assert {record.key: record.captions for record in records if record.captions} == {
        "train-a-dog": ("a brown dog",)
    }
    assert len(records) == 5


def test_two_pictures_of_one_name_have_no_caption_in_a_prompt_file(tmp_path: Path) -> None:
    for folder in ("cats", "dogs"):
        (tmp_path / "own" / "train" / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "own" / "train" / folder / "1.png")
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"image": "1.png", "prompt": "an animal"}]), encoding="utf-8")
    settings = dataset("image_folder", captions=str(prompts))
    with pytest.raises(DataError, match="are both '1'; rename one"):
        list(caption_dataset(settings, BLIP, tmp_path / "own", {"train": Counts()}, "cpu"))


def test_blip_sees_the_pictures_that_can_be_decoded(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def caption(
        pictures: Iterable[tuple[str, Image.Image]], *settings: object, **options: object
    ) -> Iterator[tuple[str, str]]:
        assert settings == (BLIP.model, BLIP.batch_size, BLIP.num_beams, "cpu")
        assert options == {"max_new_tokens": BLIP.max_new_tokens}
        for key, image in pictures:
            yield key, f"{key} {image.width}x{image.height}"

    monkeypatch.setattr(captioning, "caption_with_blip", caption)
    counts: dict[Split, Counts] = {"train": Counts(), "val": Counts()}
    records = list(
        caption_dataset(dataset("image_folder", captions="blip"), BLIP, picture_folder, counts, "cpu")
    )
    keys = ["train-a-cat", "train-a-dog", "train-a-house", "train-a-tree"]
    assert records == [CaptionRecord(key, "train", (f"{key} 32x24",)) for key in keys]
    assert (counts["train"].seen, counts["train"].kept) == (5, 4)
    assert counts["train"].dropped == {"unreadable": 1}
