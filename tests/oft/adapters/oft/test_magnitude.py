from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.magnitude import MagnitudeAdapter, inject_magnitude
from oft.adapters.oft.module import inject_oft
from tests.oft.conftest import MLP_TARGETS, Mlp, cosines

Turn = Callable[..., None]
CONFIG = OFTConfig(MLP_TARGETS, num_blocks=2)


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(30, 16, generator=generator)


def stretch(magnitude: MagnitudeAdapter, generator: torch.Generator) -> None:
    with torch.no_grad():
        for log_scale in magnitude.adapter_parameters():
            log_scale.copy_(torch.randn(log_scale.shape, generator=generator) * 0.3)


def test_scales_of_one_change_no_bit(mlp: Mlp, x: Tensor) -> None:
    before = mlp(x)
    magnitude = inject_magnitude(mlp, MLP_TARGETS)
    assert torch.equal(mlp(x), before)
    assert all(torch.equal(scale, torch.ones_like(scale)) for scale in magnitude.scales().values())
    assert magnitude.num_parameters == 24 + 12


def test_over_a_rotating_adapter_scales_of_one_change_nothing(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    turn(inject_oft(mlp, CONFIG))
    before = mlp(x)
    inject_magnitude(mlp, MLP_TARGETS)
    assert torch.equal(mlp(x), before)


def test_only_the_magnitudes_train(mlp: Mlp) -> None:
    inject_oft(mlp, CONFIG)
    magnitude = inject_magnitude(mlp, MLP_TARGETS)
    trained = [parameter for parameter in mlp.parameters() if parameter.requires_grad]
    assert list(map(id, trained)) == list(map(id, magnitude.adapter_parameters()))


def test_the_weight_is_scaled_by_rows_and_the_bias_is_not(
    mlp: Mlp, generator: torch.Generator, turn: Turn
) -> None:
    oft = inject_oft(mlp, CONFIG)
    turn(oft)
    oft.merge()
    rotated = mlp.linear("to_out.0").weight.detach().clone()
    bias = mlp.linear("to_out.0").bias.detach().clone()
    magnitude = inject_magnitude(mlp, MLP_TARGETS)
    stretch(magnitude, generator)
    scale = magnitude.scales()["to_out.0"]
    assert (scale > 0).all()
    h = torch.randn(7, 24, generator=generator)
    torch.testing.assert_close(mlp.linear("to_out.0")(h), F.linear(h, torch.diag(scale) @ rotated, bias))
    magnitude.merge()
    torch.testing.assert_close(mlp.linear("to_out.0").weight.detach(), torch.diag(scale) @ rotated)
    torch.testing.assert_close(cosines(mlp.linear("to_out.0").weight), cosines(rotated), atol=1e-6, rtol=0)
    assert torch.equal(mlp.linear("to_out.0").bias, bias)


@pytest.mark.parametrize("merged", [False, True])
def test_gradients_are_autograds(
    mlp: Mlp, x: Tensor, generator: torch.Generator, turn: Turn, merged: bool
) -> None:
    oft = inject_oft(mlp, CONFIG)
    turn(oft)
    with oft.merging():
        rotated = copy.deepcopy({name: mlp.linear(name).weight.detach() for name in MLP_TARGETS})
    if merged:
        oft.merge()
    magnitude = inject_magnitude(mlp, MLP_TARGETS)
    stretch(magnitude, generator)
    mlp(x).square().sum().backward()

    base = Mlp(generator)
    base.load_state_dict({name: value for name, value in mlp.state_dict().items() if "adapter" not in name})
    log_scales = {name: value.detach().clone().requires_grad_() for name, value in magnitude.named_values()}
    weights = {f"{name}.weight": log_scales[name].exp()[:, None] * rotated[name] for name in MLP_TARGETS}
    torch.func.functional_call(base, weights, (x,)).square().sum().backward()
    for name, parameter in magnitude.named_values():
        torch.testing.assert_close(parameter.grad, log_scales[name].grad, atol=1e-4, rtol=1e-5)


def test_rotations_and_magnitudes_may_train_together(
    mlp: Mlp, x: Tensor, generator: torch.Generator, turn: Turn
) -> None:
    oft = inject_oft(mlp, CONFIG)
    turn(oft)
    mlp(x).square().sum().backward()
    alone = [parameter.grad for parameter in oft.adapter_parameters()]
    oft.zero_grad()
    inject_magnitude(mlp, MLP_TARGETS)
    oft.requires_grad_()
    mlp(x).square().sum().backward()
    for parameter, grad in zip(oft.adapter_parameters(), alone, strict=True):
        torch.testing.assert_close(parameter.grad, grad, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("first", ["oft", "magnitude"])
@pytest.mark.parametrize("undone", ["oft", "magnitude"])
def test_merging_in_any_order_is_the_unmerged_model(
    mlp: Mlp, x: Tensor, generator: torch.Generator, turn: Turn, first: str, undone: str
) -> None:
    base = copy.deepcopy(mlp.state_dict())
    oft = inject_oft(mlp, CONFIG)
    turn(oft)
    magnitude = inject_magnitude(mlp, MLP_TARGETS)
    stretch(magnitude, generator)
    adapters = {"oft": oft, "magnitude": magnitude}
    expected = mlp(x)
    for name in sorted(adapters, key=lambda name: name != first):
        adapters[name].merge()
        torch.testing.assert_close(mlp(x), expected)
    for name in sorted(adapters, key=lambda name: name != undone):
        adapters[name].unmerge()
        torch.testing.assert_close(mlp(x), expected)
    assert all(torch.equal(value, base[name]) for name, value in mlp.state_dict().items() if name in base)


def test_both_can_be_made_part_of_the_weights(
    mlp: Mlp, x: Tensor, generator: torch.Generator, turn: Turn
) -> None:
    oft = inject_oft(mlp, CONFIG)
    turn(oft)
    magnitude = inject_magnitude(mlp, MLP_TARGETS)
    stretch(magnitude, generator)
    expected = mlp(x)
    for adapter in (oft, magnitude):
        adapter.merge()
    for adapter in (oft, magnitude):
        adapter.remove(keep_merged=True)
    torch.testing.assert_close(mlp(x), expected)
    assert type(mlp.to_q) is nn.Linear


def test_one_can_be_made_part_of_the_weights_under_the_other(
    mlp: Mlp, x: Tensor, generator: torch.Generator, turn: Turn
) -> None:
    oft = inject_oft(mlp, CONFIG)
    turn(oft)
    oft.merge()
    rotated = mlp(x)
    magnitude = inject_magnitude(mlp, MLP_TARGETS)
    stretch(magnitude, generator)
    magnitude.merge()
    expected = mlp(x)
    oft.remove(keep_merged=True)
    torch.testing.assert_close(mlp(x), expected)
    magnitude.unmerge()
    torch.testing.assert_close(mlp(x), expected)
    magnitude.remove()
    assert torch.equal(mlp(x), rotated)
