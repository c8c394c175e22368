"""Moving averages: the formula, their warm-up, and rotations that follow them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.module import inject_oft
from oft.training.averaging import MovingAverage
from tests.oft.conftest import MLP_TARGETS, Mlp


def test_an_average_weighs_values_by_their_age() -> None:
    value = nn.Parameter(torch.tensor([1.0]))
    average = MovingAverage({"value": value}, 0.9)
    expected = 1.0
    for step in range(1, 200):
        with torch.no_grad():
            value.fill_(step % 7)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step % 7)
    assert float(average.values["value"]) == pytest.approx(expected, rel=1e-5)
    assert float(value.detach()) == 199 % 7


def test_an_adapter_turns_by_the_averages_inside_the_block_and_by_its_own_values_after(
    mlp: Mlp, generator: torch.Generator
) -> None:
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=4))
    inputs = torch.randn(3, 16, generator=generator)
    parameters = dict(adapter.named_packed())
    average = MovingAverage(parameters, 0.99)
    at_identity = mlp(inputs)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    turned = mlp(inputs)
    assert not torch.allclose(turned, at_identity, atol=1e-3)
    with average.applied():
        assert torch.equal(mlp(inputs), at_identity)
    assert torch.equal(mlp(inputs), turned)
    average.apply()
    assert torch.equal(mlp(inputs), at_identity)
