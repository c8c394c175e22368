"""The stage joins pictures with captions, and refuses shards that nothing could be sampled with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oft.captions.store import CaptionRecord, write_captions
from oft.errors import DataError
from oft.prepare.prepared import write_prepared
from oft.shards.shards import num_samples, pack_sample
from oft.storage import dump_yaml, read_json, write_json
from oft.types import SPLITS, Counts
from stages import shard
from stages.launch import paths

TASK, DATASET = "canny_coco", "coco"
PICTURE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(autouse=True)
def _prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    """What the stages before wrote: two pictures a split; one of val was dropped."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(dump_yaml(values))
    paths.conditions(TASK).mkdir(parents=True)
    for split in SPLITS:
        samples = [
            pack_sample(
                f"{split}-{number}", PICTURE, PICTURE, meta={"source": f"{number}.png", "licence": "mine"}
            )
            for number in range(2)
        ]
        write_prepared(paths.conditions(TASK), split, samples, {})
    tally = Counts(seen=3, kept=2)
    tally.drop("truncated", "cut.png")
    counted = {split: tally.to_json() for split in SPLITS}
    for folder in (paths.raw(DATASET), paths.conditions(TASK), paths.captions(DATASET).parent):
        write_json(paths.counts(folder), counted)


def caption(**captions: tuple[str, ...]) -> None:
    records = [
        CaptionRecord(f"{split}-{number}", split, captions[split]) for split in SPLITS for number in range(2)
    ]
    write_captions(paths.captions(DATASET), records)


def test_pictures_and_captions_become_shards() -> None:
    caption(train=("a tree",), val=("a lake",))
    shard.main(["--task", TASK])
    assert [num_samples(paths.shards(TASK), split) for split in SPLITS] == [2, 2]
    assert read_json(paths.counts(paths.shards(TASK)))["val"]["kept"] == 2


@pytest.mark.parametrize("train", [("a tree",), ()])
def test_shards_without_a_validation_sample_are_refused(train: tuple[str, ...]) -> None:
    caption(train=train, val=())
    with pytest.raises(DataError) as raised:
        shard.main(["--task", TASK])
    message = str(raised.value)
    assert "canny_coco: val has no sample, so nothing can be sampled" in message
    assert "extract: 1 truncated" in message and "cut.png" in message
    assert "shard: 2 caption_missing" in message
    assert not paths.shards(TASK).exists()
    assert read_json(paths.counts(paths.shards(TASK)))["val"]["dropped"] == {"caption_missing": 2}


def test_a_set_to_try_adapters_on_needs_nothing_to_learn_from() -> None:
    caption(train=(), val=("a lake",))
    shard.main(["--task", TASK])
    assert [num_samples(paths.shards(TASK), split) for split in SPLITS] == [0, 2]
