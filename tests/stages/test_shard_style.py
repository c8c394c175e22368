"""The stage packs a style's captioned pictures of both splits, and refuses one without either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from miniature.world.acquire import render_dataset
from oft.errors import DataError
from oft.sampling import task_prompts
from oft.shards.shards import num_samples, read_shards
from oft.storage import dump_yaml, read_json, write_json
from oft.types import SPLITS, Counts
from stages import caption, shard_style
from stages.launch import paths

TASK, DATASET = "style_ink", "world_ink"


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> Any:
    """Renders so many pictures and captions them, as the stages before do."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(dump_yaml(values))

    def make(num_train: int, num_val: int) -> None:
        root = paths.raw(DATASET)
        render_dataset(
            "world-ink", "hub", root, seed=0, num_train_images=num_train, num_val_images=num_val, size_px=64
        )
        write_json(paths.counts(root), {split: Counts().to_json() for split in SPLITS})
        caption.main(["--dataset", DATASET])

    return make


def test_both_splits_are_packed_and_both_are_asked_for(prepare: Any) -> None:
    prepare(6, 2)
    shard_style.main(["--task", TASK])
    folder = paths.shards(TASK)
    assert [num_samples(folder, split) for split in SPLITS] == [6, 2]
    keys = {split: {sample.key for sample in read_shards(folder, split)} for split in SPLITS}
    described = read_json(folder / "prompts.json")
    assert set(described["seen"]) < keys["train"] and len(described["seen"]) == 2
    assert task_prompts(folder).keys() == {*described["seen"], *keys["val"]}
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == []
    card = read_json(folder / "card.json")
    assert card["captions"]["source"] == "own" and "condition" not in card


def test_a_style_without_pictures_to_learn_from_is_refused(prepare: Any) -> None:
    prepare(0, 2)
    with pytest.raises(DataError, match=f"{TASK}: train has no sample, so nothing can be learned"):
        shard_style.main(["--task", TASK])
    assert not paths.shards(TASK).exists()
    assert read_json(paths.counts(paths.shards(TASK)))["val"]["kept"] == 2
