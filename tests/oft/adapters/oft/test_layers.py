from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oft.adapters.oft.adapting import adapt, restore
from oft.adapters.oft.layers import (
    AdaptedLinear,
    Application,
    rotated_linear,
    scale_rows,
    scaled_linear,
    turns_weight,
)
from oft.adapters.oft.rotation import cayley, rotate_weight, skew_from_packed

OUT, IN = 5, 8
FEW, MANY = (2, 2), (3, 4)  # leading shapes of x: fewer tokens than output neurons, and more


@pytest.fixture
def layer(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weight, bias, rotations and log-magnitudes in float64."""
    rotations = cayley(skew_from_packed(torch.randn(2, 6, generator=generator).double()))
    return (
        torch.randn(OUT, IN, generator=generator).double(),
        torch.randn(OUT, generator=generator).double(),
        rotations,
        torch.randn(OUT, generator=generator).double(),
    )


@pytest.mark.parametrize(("shape", "expected"), [(FEW, False), (MANY, True)])
def test_the_smaller_of_weight_and_input_is_rotated(shape: tuple[int, ...], expected: bool) -> None:
    tokens = torch.zeros(shape).numel()
    assert turns_weight(tokens, OUT) is expected


@pytest.mark.parametrize("shape", [FEW, MANY])
@pytest.mark.parametrize("stored", [1, 2])
def test_rotated_linear_and_its_gradients(
    shape: tuple[int, ...],
    stored: int,
    layer: tuple[Tensor, Tensor, Tensor, Tensor],
    generator: torch.Generator,
) -> None:
    weight, bias, rotations, _ = layer
    rotations = rotations[:stored].detach().requires_grad_()
    x = torch.randn(*shape, IN, generator=generator).double().requires_grad_()
    torch.testing.assert_close(
        rotated_linear(x, weight, bias, rotations), F.linear(x, rotate_weight(weight, rotations), bias)
    )
    assert torch.autograd.gradcheck(lambda x, r: rotated_linear(x, weight, bias, r), (x, rotations))
    assert torch.autograd.gradcheck(lambda r: rotated_linear(x.detach(), weight, None, r), rotations)
    assert torch.autograd.gradcheck(lambda x: rotated_linear(x, weight, None, rotations.detach()), x)


@pytest.mark.parametrize("application", ["weight", "input"])
@pytest.mark.parametrize("stored", [1, 2])
def test_rotated_linear_is_twice_differentiable(
    application: Application,
    stored: int,
    layer: tuple[Tensor, Tensor, Tensor, Tensor],
    generator: torch.Generator,
) -> None:
    weight, bias, _, _ = layer
    packed = torch.randn(stored, 6, generator=generator).double().requires_grad_()
    x = torch.randn(3, IN, generator=generator).double().requires_grad_()

    def output(x: Tensor, packed: Tensor) -> Tensor:
        rotations = cayley(skew_from_packed(packed))
        return rotated_linear(x, weight, bias, rotations, application).square()

    assert torch.autograd.gradgradcheck(output, (x, packed))
    assert torch.autograd.gradgradcheck(lambda p: output(x.detach(), p), packed)
    assert torch.autograd.gradgradcheck(lambda x: output(x, packed.detach()), x)
    # Also beside the orthogonal matrices.
    free = torch.randn(stored, 4, 4, generator=generator).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda r: rotated_linear(x, weight, None, r, application), free)


def test_scaled_linear_is_twice_differentiable(
    layer: tuple[Tensor, Tensor, Tensor, Tensor], generator: torch.Generator
) -> None:
    weight, bias, _, log_scale = layer
    x = torch.randn(3, IN, generator=generator).double().requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda x, s: scaled_linear(x, weight, bias, s).square(), (x, log_scale.requires_grad_())
    )


@pytest.mark.parametrize("shape", [FEW, MANY])
def test_scaled_linear_and_its_gradients(
    shape: tuple[int, ...], layer: tuple[Tensor, Tensor, Tensor, Tensor], generator: torch.Generator
) -> None:
    weight, bias, _, log_scale = layer
    x = torch.randn(*shape, IN, generator=generator).double().requires_grad_()
    log_scale.requires_grad_()
    expected = F.linear(x, torch.diag(log_scale.exp()) @ weight, bias)
    torch.testing.assert_close(scaled_linear(x, weight, bias, log_scale), expected)
    assert torch.autograd.gradcheck(lambda x, s: scaled_linear(x, weight, bias, s), (x, log_scale))
    assert torch.autograd.gradcheck(lambda s: scaled_linear(x.detach(), weight, None, s), log_scale)


def test_a_trainable_base_gets_its_gradients(
    layer: tuple[Tensor, Tensor, Tensor, Tensor], generator: torch.Generator
) -> None:
    weight, bias, rotations, log_scale = layer
    x = torch.randn(*MANY, IN, generator=generator).double()
    weight.requires_grad_()
    assert torch.autograd.gradcheck(lambda w, r: rotated_linear(x, w, bias, r), (weight, rotations))
    assert torch.autograd.gradcheck(lambda w: scaled_linear(x, w, bias, log_scale), weight)


def test_scaling_turns_no_neuron(layer: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    weight, _, _, log_scale = layer
    torch.testing.assert_close(F.normalize(scale_rows(weight, log_scale)), F.normalize(weight))


def test_an_adapted_layer_without_parts_is_the_layer(generator: torch.Generator) -> None:
    linear = nn.Linear(IN, OUT)
    x = torch.randn(3, IN, generator=generator)
    before, names = linear(x), list(linear.state_dict())
    adapted = adapt(linear)
    assert isinstance(linear, AdaptedLinear) and id(adapted) == id(linear)
    assert torch.equal(linear(x), before) and list(linear.state_dict()) == names
    restore(adapted)
    assert type(linear) is nn.Linear and set(vars(linear)) == set(vars(nn.Linear(1, 1)))
