"""A style's samples are the captioned pictures of a set; it is drawn for captions of both splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from miniature.world.acquire import render_dataset
from oft.captions.store import CaptionRecord, write_captions
from oft.datasets import read
from oft.prepare.styles import pack_style, style_prompts
from oft.shards.shards import Sample, decode_image, picture_size
from oft.types import SPLITS, Counts
from tests.conftest import dataset


@pytest.fixture
def ink(tmp_path: Path) -> Path:
    """Six pictures in ink, two of them for validation; every one has its own captions but the first."""
    root = tmp_path / "ink"
    render_dataset("world-ink", "hub", root, seed=0, num_train_images=4, num_val_images=2, size_px=64)
    records = [
        CaptionRecord(example.key, split, example.captions if place else ())
        for split in SPLITS
        for place, example in enumerate(read("hub", root, split, Counts()))
    ]
    write_captions(tmp_path / "captions.jsonl", records)
    return root


def pack(root: Path, counts: Counts, prompts: dict[str, str], *, fit: str = "crop") -> list[Sample]:
    settings = dataset("hub", fit=fit, flip=fit == "buckets")
    captions = root.parent / "captions.jsonl"
    return list(pack_style("ink", settings, root, captions, "train", 32, 95, counts, 0, prompts))


def test_pictures_come_with_their_captions_and_those_without_are_counted(ink: Path) -> None:
    counts, prompts = Counts(), dict[str, str]()
    samples = pack(ink, counts, prompts)
    assert (counts.seen, counts.kept, counts.dropped) == (4, 3, {"caption_missing": 1})
    assert {sample.key: sample.meta["captions"][0] for sample in samples} == prompts
    assert all(sample.meta["dataset"] == "ink" and sample.condition is None for sample in samples)
    assert all(decode_image(sample).shape == (32, 32, 3) for sample in samples)


def test_a_mirror_image_has_its_picture_s_captions_and_is_no_prompt(ink: Path) -> None:
    counts, prompts = Counts(), dict[str, str]()
    samples = {sample.key: sample for sample in pack(ink, counts, prompts, fit="buckets")}
    assert len(samples) == 6 and counts.kept == len(prompts) == 3
    for key in prompts:
        assert samples[f"{key}-flipped"].meta["captions"] == samples[key].meta["captions"]
        assert picture_size(samples[key])[0] % 8 == 0


def test_a_style_is_drawn_for_all_unseen_captions_and_as_many_seen_ones() -> None:
    seen = {f"t{number}": f"caption {number}" for number in range(20)}
    unseen = {f"v{number}": f"other {number}" for number in range(4)}
    prompts = style_prompts(seen, unseen, seed=0)
    assert list(prompts) == sorted(prompts) and len(prompts) == 8
    assert unseen.items() <= prompts.items() and prompts.items() <= {**seen, **unseen}.items()
    assert style_prompts(seen, unseen, seed=1) != prompts
    more = style_prompts(seen, unseen | {"w": "more"}, seed=0)
    assert prompts.items() < more.items(), "further prompts change none of the earlier ones"
    assert style_prompts({"t": "one"}, unseen, seed=0) == {"t": "one", **unseen}
