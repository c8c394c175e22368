"""A whole training: its grids, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from oft.models.adapted import init_adapter
from oft.models.base import load_base
from oft.params import Params, parse_params
from oft.seeding import generator_for
from oft.shards.loader import ShardReader
from oft.shards.shards import pack_sample, write_shards
from oft.shards.store import ShardFolder, ShardStore, open_shards
from oft.training.dataset import TrainingSet
from oft.training.encoded import Encoded
from oft.training.objective import Denoiser, TrainingSource, data_objective
from oft.training.run import GRID_PADDING_PX, Validation, Workplace, tile, train_adapter
from tests.oft.training.conftest import training_set


def test_a_grid_shows_every_picture_and_fills_short_rows_with_white() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (8, 6, 3), dtype=np.uint8) for _ in range(5)]
    grid = np.asarray(tile([pictures[:2], pictures[2:]]))
    height, width = 8 + 2 * GRID_PADDING_PX, 6 + 2 * GRID_PADDING_PX
    assert grid.shape == (2 * height, 3 * width, 3)
    for place, picture in zip([(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)], pictures, strict=True):
        top, left = place[0] * height + GRID_PADDING_PX, place[1] * width + GRID_PADDING_PX
        np.testing.assert_array_equal(grid[top : top + 8, left : left + 6], picture)
    assert (grid[:height, 2 * width :] == 255).all()


KINDS: dict[str, dict[str, Any]] = {
    "oft": {"method": "oft", "num_blocks": 4, "dropout": 0.5},
    "lora": {"method": "peft", "type": "LORA", "r": 4, "lora_dropout": 0.5},
    "adalora": {"method": "peft", "type": "ADALORA", "total_step": 4, "tinit": 0, "tfinal": 1, "deltaT": 1},
    "controlnet": {"method": "controlnet"},
    "full": {"method": "full"},
    "full with text": {"method": "full", "train_text_encoder": True},
    "lora with text": {"method": "peft", "type": "LORA", "r": 4, "train_text_encoder": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_training_ends_as_an_uninterrupted_one(
    base_folder: Path, shards_folder: Path, values: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    values["adapters"]["tried"] = KINDS[kind]
    params = parse_params(values)
    settings = params.train.model_copy(
        update={
            "max_train_steps": 4,
            "batch_size": 2,
            "warmup_steps": 0,
            "checkpoint_every_steps": 2,
            "mixed_precision": "fp32",  # accelerate takes one precision a process
        }
    )

    def train(scratch: Path, stop: bool = False) -> list[Tensor]:
        base = load_base(base_folder)
        loaded = init_adapter(
            base, params.adapters["tried"], with_condition=True, generator=generator_for("init")
        )
        steps = iter(range(4))

        def draw_grid() -> Image.Image:
            if stop and next(steps) == 2:
                raise KeyboardInterrupt
            return Image.new("RGB", (8, 8))

        train_adapter(
            base,
            loaded,
            [TrainingSource(training_set(shards_folder), "instance")],
            settings,
            Workplace(scratch / "out", scratch, scratch / "logs"),
            seed=1,
            name=kind,
            validation=Validation(draw_grid, 1),
        )
        return [value.detach() for value in loaded.trained_parameters().values()]

    uninterrupted = train(tmp_path / "one")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "two", stop=True)
    resumed = train(tmp_path / "two")
    assert all(torch.equal(a, b) for a, b in zip(uninterrupted, resumed, strict=True))
    if kind == "oft":
        rows = torch.cat([value.abs().sum(1) for value in resumed[:9]])
        assert (rows == 0).any() and (rows > 0).any()  # some blocks were never trained


def test_a_set_larger_than_its_room_trains_from_a_bucket_as_from_its_folder(
    base_folder: Path, s3: Any, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four shards, room for two: the window decides the order, where shards lie does not."""
    rng = np.random.default_rng(0)
    samples = [
        pack_sample(f"k{number}", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), meta={"captions": ["a"]})
        for number in range(8)
    ]
    write_shards(samples, tmp_path / "task", "train", 2)
    sizes = []
    for path in (tmp_path / "task").iterdir():
        s3.upload_file(str(path), "bucket", f"task/{path.name}")
        sizes.append(path.stat().st_size if path.suffix == ".tar" else 0)
    room = 2 * max(sizes)
    monkeypatch.setenv("OFT_SHARDS", "s3://bucket")
    monkeypatch.setenv("OFT_SHARDS_GB", f"{room / 1e9:.9f}")
    cache = tmp_path / "cache"
    base = load_base(base_folder)
    denoiser = Denoiser(base.unet)

    def losses(store: ShardStore, window: int) -> list[float]:
        settings = params.train.model_copy(update={"batch_size": 2, "shuffle_window_shards": window})
        data = TrainingSet(ShardReader(store, "train"), "train", Encoded(), with_condition=False)
        objective = data_objective(base, denoiser, [TrainingSource(data, "instance")], settings, seed=1)
        found = []
        for step in range(4):
            with torch.no_grad():
                (loss,) = objective(step)
            found.append(float(loss))
            assert sum(path.stat().st_size for path in cache.glob("*.tar")) <= room < sum(sizes)
        return found

    streamed = losses(open_shards(tmp_path / "task", cache), 1)
    assert streamed == losses(ShardFolder(tmp_path / "task"), 1)
    assert streamed != losses(ShardFolder(tmp_path / "task"), 0)
