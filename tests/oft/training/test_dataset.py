"""A training set loads what a batch needs and refuses what cannot be trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from oft.errors import DataError
from oft.models.base import Base
from oft.shards.shards import decode_condition, decode_image, pack_sample, read_shards, write_shards
from oft.shards.store import ShardFolder
from oft.training.dataset import TrainingSet, open_training_set
from tests.oft.training.conftest import training_set


def test_a_batch_holds_pictures_conditions_and_captions_in_the_order_asked_for(
    data: TrainingSet, shards_folder: Path
) -> None:
    samples = list(read_shards(shards_folder, "train"))
    loaded = data.load(np.array([6, 1]))
    assert loaded.pictures is not None and loaded.conditions is not None
    for place, number in enumerate((6, 1)):
        picture = loaded.pictures[place].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(picture, decode_image(samples[number]))
        condition = decode_condition(samples[number])
        assert condition is not None
        np.testing.assert_array_equal(loaded.conditions[place].permute(1, 2, 0).numpy(), condition)
        assert loaded.captions[place] == tuple(samples[number].meta["captions"])
    conditioning = loaded.conditioning()
    assert conditioning is not None
    assert torch.equal(conditioning, loaded.conditions.float() / 255)


def test_a_subject_has_no_conditions(plain: TrainingSet) -> None:
    assert plain.load(np.array([0])).conditions is None


def test_an_empty_split_is_refused_by_name(tmp_path: Path) -> None:
    write_shards([], tmp_path, "train", 4)
    with pytest.raises(DataError, match=rf"{tmp_path} \(train\): there is no sample.*counts\.json"):
        training_set(tmp_path)


def test_a_sample_without_its_condition_is_named(tmp_path: Path) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    samples = [
        pack_sample("with", picture, picture, meta={"captions": ["x"]}),
        pack_sample("without", picture, meta={"captions": ["x"]}),
    ]
    write_shards(samples, tmp_path, "train", 4)
    data = training_set(tmp_path)
    assert len(data.load(np.array([0]))) == 1
    with pytest.raises(DataError, match=r"sample 'without' has no cond.png; make the shards again"):
        data.load(np.array([0, 1]))


@pytest.mark.parametrize("with_condition", [True, False])
def test_a_remedy_names_the_stage(
    base: Base, shards_folder: Path, tmp_path: Path, with_condition: bool
) -> None:
    with pytest.raises(DataError, match=rf"run `dvc repro --force --glob 'encode\*@{shards_folder.name}'`"):
        open_training_set(base, ShardFolder(shards_folder), tmp_path, "train", with_condition=with_condition)
