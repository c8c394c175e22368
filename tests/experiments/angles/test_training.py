"""Training of the autoencoder: it learns, it is reproducible, and it says when it cannot go on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.angles.pictures import PictureSets
from experiments.angles.training import to_pictures, to_tensor, train_autoencoder
from oft.errors import TrainingError
from oft.settings.evaluation import Angles


def weights(sets: PictureSets, settings: Angles, seed: int) -> list[bytes]:
    trained = train_autoencoder(sets.train, settings, "cpu", torch.Generator().manual_seed(seed))
    return [value.numpy().tobytes() for value in trained.state_dict().values()]


def test_equal_seeds_give_equal_bytes(sets: PictureSets, settings: Angles) -> None:
    short = settings.model_copy(update={"max_train_steps": 5})
    assert weights(sets, short, 0) == weights(sets, short, 0)
    assert weights(sets, short, 0) != weights(sets, short, 1)


def test_a_loss_that_is_not_finite_is_an_error_of_the_settings(sets: PictureSets, settings: Angles) -> None:
    wild = settings.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(TrainingError, match=r"angles\.learning_rate \(1e\+30\)"):
        train_autoencoder(sets.train, wild, "cpu", torch.Generator().manual_seed(0))


def test_pictures_survive_the_way_to_tensors_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    values = to_tensor(levels, "cpu")
    assert (float(values.min()), float(values.max())) == (-1, 1)
    np.testing.assert_array_equal(to_pictures(values), levels)
    assert {0, 255} == set(to_pictures(torch.tensor([-3.0, 3.0]).expand(1, 3, 1, 2)).ravel().tolist())
