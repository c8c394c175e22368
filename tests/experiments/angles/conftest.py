"""A few rendered scenes in ADE20K's layout, and settings of a training that takes a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.angles.pictures import PictureSets, read_picture_sets
from miniature.world.acquire import render_dataset
from oft.settings.evaluation import Angles
from tests.conftest import dataset

NUM_TRAIN, NUM_HELD_OUT, SIDE_PX = 96, 12, 32


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    render_dataset(
        "world",
        "ade20k",
        root,
        seed=0,
        num_train_images=NUM_TRAIN,
        num_val_images=NUM_HELD_OUT,
        size_px=SIDE_PX,
    )
    return root


@pytest.fixture(scope="session")
def sets(scenes: Path) -> PictureSets:
    return read_picture_sets(dataset(), scenes, SIDE_PX, NUM_TRAIN, NUM_HELD_OUT)


@pytest.fixture(scope="session")
def settings() -> Angles:
    return Angles(
        dataset="ade20k",
        resolution_px=SIDE_PX,
        num_train_images=NUM_TRAIN,
        num_held_out_images=NUM_HELD_OUT,
        max_train_steps=300,
        batch_size=8,
        learning_rate=6e-3,
        num_rows=3,
    )
