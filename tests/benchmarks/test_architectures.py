"""The networks are those their names promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.architectures import make_frozen, miniature_unet, sd15_unet, transformer_block
from oft.errors import CheckpointError
from tests.benchmarks.conftest import CPU


def test_sd15_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        unet = sd15_unet().make()
    assert sum(parameter.numel() for parameter in unet.parameters()) == 859_520_964


def test_a_frozen_network_has_equal_weights_every_time_and_trains_nothing() -> None:
    first, second = (make_frozen(transformer_block(32, 32, heads=2), CPU).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(value.requires_grad for value in first.values())


def test_making_a_network_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    make_frozen(transformer_block(32, 32, heads=2), CPU)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        miniature_unet(tmp_path).make()
