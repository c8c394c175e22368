"""Training sets of the small shards, with and without their conditions."""

from __future__ import annotations

from pathlib import Path

import pytest

from oft.models.base import Base, load_base
from oft.shards.loader import ShardReader
from oft.shards.store import ShardFolder
from oft.training.dataset import TrainingSet
from oft.training.encoded import Encoded


@pytest.fixture
def base(base_folder: Path) -> Base:
    return load_base(base_folder)


def training_set(shards: Path, encoded: Encoded | None = None, *, with_condition: bool = True) -> TrainingSet:
    """The training split; what is not given encoded is computed in every batch."""
    reader = ShardReader(ShardFolder(shards), "train")
    return TrainingSet(reader, "train", encoded or Encoded(), with_condition=with_condition)


@pytest.fixture
def data(shards_folder: Path) -> TrainingSet:
    return training_set(shards_folder)


@pytest.fixture
def plain(shards_folder: Path) -> TrainingSet:
    """The same samples as a subject's: without conditioning images."""
    return training_set(shards_folder, with_condition=False)
