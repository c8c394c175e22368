from __future__ import annotations

import json
from pathlib import Path

import pytest

from oft.datasets.fill50k import read_fill50k
from oft.errors import DataError
from oft.types import SPLITS, Counts


def test_circles_come_with_outline_and_caption_and_a_hash_chooses_the_split(fill50k_root: Path) -> None:
    counts = Counts()
    train = list(read_fill50k(fill50k_root, "train", counts))
    assert [(example.key, example.captions) for example in train] == [
        (f"images-{number}", (f"circle {number}",)) for number in (0, 1, 2)
    ]
    assert train[1].annotation == fill50k_root / "conditioning_images" / "1.png"
    assert counts.offenders == {"missing": ["images/70.png"]}
    [held_out] = read_fill50k(fill50k_root, "val", Counts())
    assert held_out.key == "images-26"


def test_of_a_few_circles_one_validates(fill50k_root: Path) -> None:
    lines = (fill50k_root / "train.jsonl").read_text().splitlines()
    (fill50k_root / "train.jsonl").write_text("\n".join(lines[:3]))  # not the one that its hash holds out
    found = {split: len(list(read_fill50k(fill50k_root, split, Counts()))) for split in SPLITS}
    assert found == {"train": 2, "val": 1}


def test_controlnets_own_archive_is_read_too(fill50k_root: Path) -> None:
    (fill50k_root / "train.jsonl").unlink()
    (fill50k_root / "images").rename(fill50k_root / "target")
    (fill50k_root / "conditioning_images").rename(fill50k_root / "source")
    entry = {"source": "source/1.png", "target": "target/1.png", "prompt": "a red circle"}
    (fill50k_root / "prompt.json").write_text(json.dumps(entry))
    found = [example for split in SPLITS for example in read_fill50k(fill50k_root.parent, split, Counts())]
    assert [(example.key, example.captions) for example in found] == [("target-1", ("a red circle",))]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "images/../../x.png", ""])
def test_a_listing_cannot_lead_out_of_the_data_set(fill50k_root: Path, name: str) -> None:
    (fill50k_root.parent / "secret.png").write_bytes((fill50k_root / "images" / "0.png").read_bytes())
    entries = [
        {"image": name, "conditioning_image": "images/0.png", "text": ""},
        {"image": "images/0.png", "conditioning_image": name, "text": ""},
    ]
    (fill50k_root / "train.jsonl").write_text("\n".join(map(json.dumps, entries)))
    counts = {split: Counts() for split in SPLITS}
    assert not [example for split in SPLITS for example in read_fill50k(fill50k_root, split, counts[split])]
    dropped = sum((tally.dropped for tally in counts.values()), start=Counts().dropped)
    assert dropped == {"outside": 1, "annotation_outside": 1}


@pytest.mark.parametrize(
    "line", ["3", "{}", '{"image": "a.png"}', '{"image": 1, "conditioning_image": "a"}', "{"]
)
def test_a_line_of_another_form_is_named(fill50k_root: Path, line: str) -> None:
    (fill50k_root / "train.jsonl").write_text("\n" + line)
    with pytest.raises(DataError, match=r"train\.jsonl, line 2"):
        next(read_fill50k(fill50k_root, "train", Counts()))


def test_a_missing_listing_shows_the_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*train\.jsonl; expected fill50k's layout"):
        next(read_fill50k(tmp_path, "train", Counts()))
