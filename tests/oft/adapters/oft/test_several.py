"""Several adapters on one base, and how much of each applies."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from oft.adapters.oft import layers
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.layer_adapter import activate
from oft.adapters.oft.layers import AdaptedLinear
from oft.adapters.oft.magnitude import MagnitudeAdapter, inject_magnitude
from oft.adapters.oft.module import OFTAdapter, inject_oft
from oft.adapters.oft.rotation import compose_rotations, orthogonality_error, rotate_weight
from oft.errors import ParamsError
from tests.oft.conftest import MLP_TARGETS, Mlp, naive_forward, naive_rotation

Turn = Callable[..., None]
# Blocks of 8 and 12 features against blocks of 4: rotations of different structure on the same layers.
STYLE, SUBJECT = OFTConfig(MLP_TARGETS, num_blocks=2), OFTConfig(MLP_TARGETS, block_size=4)


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(3, 5, 16, generator=generator)


def both(mlp: Mlp, turn: Turn) -> tuple[OFTAdapter, OFTAdapter]:
    style, subject = inject_oft(mlp, STYLE, "style"), inject_oft(mlp, SUBJECT, "subject")
    turn(style)
    turn(subject)
    return style, subject


def without_adapters(mlp: Mlp) -> Mlp:
    twin = copy.deepcopy(mlp)
    for child in list(twin.children()):
        if isinstance(child, OFTAdapter):
            child.unmerge()
            child.remove()
    return twin


def alone(mlp: Mlp, adapter: OFTAdapter, x: Tensor) -> Tensor:
    packed = {name: value.detach() for name, value in adapter.named_packed()}
    return naive_forward(without_adapters(mlp), packed, x)


@pytest.mark.parametrize("shapes", [((2, 8), (4, 4)), ((2, 8), (2, 8)), ((1, 8), (4, 4)), ((1, 4), (1, 16))])
def test_composing_turns_by_the_first_and_then_by_the_second(
    shapes: tuple[tuple[int, int], tuple[int, int]], generator: torch.Generator
) -> None:
    first, second = (
        torch.linalg.qr(torch.randn(blocks, size, size, generator=generator).double())[0]
        for blocks, size in shapes
    )
    weight = torch.randn(5, 16, generator=generator).double()
    composed = compose_rotations(first, second, 16)
    assert orthogonality_error(composed) < 1e-12
    expected = rotate_weight(rotate_weight(weight, first), second)
    torch.testing.assert_close(rotate_weight(weight, composed), expected)


def test_adapters_apply_one_after_the_other(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    style, subject = both(mlp, turn)
    expected = copy.deepcopy(mlp)
    for adapter in (expected.oft_adapter_style, expected.oft_adapter_subject):
        assert isinstance(adapter, OFTAdapter)
        adapter.remove()
    for (name, first), (_, second) in zip(style.named_packed(), subject.named_packed(), strict=True):
        weight = expected.linear(name).weight
        width = weight.shape[1]
        weight.data = weight.data @ naive_rotation(first, width).T @ naive_rotation(second, width).T
    torch.testing.assert_close(mlp(x), expected(x))


@pytest.mark.parametrize("merged", [(), (0,), (1,), (0, 1), (1, 0)])
def test_merging_some_of_them_changes_nothing(
    merged: tuple[int, ...], mlp: Mlp, x: Tensor, turn: Turn
) -> None:
    adapters = both(mlp, turn)
    weight = mlp.to_q.weight.detach().clone()
    expected = mlp(x)
    for index in merged:
        adapters[index].merge()
    torch.testing.assert_close(mlp(x), expected)
    adapters[0].disable()
    torch.testing.assert_close(mlp(x), alone(mlp, adapters[1], x))
    adapters[0].enable()
    torch.testing.assert_close(mlp(x), expected)
    for adapter in adapters:
        adapter.unmerge()
    assert torch.equal(mlp.to_q.weight, weight)


def test_adapters_are_switched_by_name(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    base = mlp(x)
    style, subject = both(mlp, turn)
    together = mlp(x)
    activate(mlp, OFTAdapter, "style")
    torch.testing.assert_close(mlp(x), alone(mlp, style, x))
    activate(mlp, OFTAdapter, "subject")
    torch.testing.assert_close(mlp(x), alone(mlp, subject, x))
    activate(mlp, OFTAdapter)
    assert torch.equal(mlp(x), base)
    activate(mlp, OFTAdapter, "subject", "style")
    assert torch.equal(mlp(x), together)
    with pytest.raises(ParamsError, match="no oft_adapter named 'pose'; its own: oft_adapter_style, oft_ad"):
        activate(mlp, OFTAdapter, "pose")


def test_the_newest_trains_and_the_others_are_frozen(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    style, subject = both(mlp, turn)
    mlp(x).square().mean().backward()
    assert all(packed.grad is None for packed in style.adapter_parameters())
    assert all(packed.grad is not None for packed in subject.adapter_parameters())


def test_one_cannot_stay_in_the_weights_under_an_earlier_one(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    style, subject = both(mlp, turn)
    expected = mlp(x)
    for adapter in (style, subject):
        adapter.merge()
    with pytest.raises(RuntimeError, match="in their order"):
        subject.remove(keep_merged=True)
    torch.testing.assert_close(mlp(x), expected)  # nothing was taken off
    style.remove(keep_merged=True)
    subject.remove(keep_merged=True)
    torch.testing.assert_close(mlp(x), expected)


def test_composed_rotations_stay_precise_under_autocast(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    both(mlp, turn)
    layer = mlp.get_submodule("to_q")
    assert isinstance(layer, AdaptedLinear)
    seen: list[torch.dtype] = []

    def note(*arguments: Any) -> Tensor:
        composed = compose_rotations(*arguments)
        seen.append(composed.dtype)
        return composed

    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(layers, "compose_rotations", note)
        mlp(x)
    assert seen == [torch.float32, torch.float32]


def test_names_are_taken_once(mlp: Mlp) -> None:
    inject_oft(mlp, STYLE, "style")
    with pytest.raises(ParamsError, match="oft_adapter_style"):
        inject_oft(mlp, STYLE, "style")
    with pytest.raises(ParamsError, match=r"letters, digits and _, .* got 'a\.b'"):
        inject_oft(mlp, STYLE, "a.b")


@pytest.mark.parametrize("merged", [False, True])
def test_strength_scales_the_skew_parameter(mlp: Mlp, x: Tensor, turn: Turn, merged: bool) -> None:
    base = mlp(x)
    adapter = inject_oft(mlp, STYLE)
    turn(adapter)
    plain = without_adapters(mlp)
    packed = {name: value.detach() for name, value in adapter.named_packed()}
    if merged:
        adapter.merge()
    for strength in (0.5, 0.0, -1.0, 2.0, 1.0):
        adapter.strength = strength
        expected = naive_forward(plain, {name: strength * value for name, value in packed.items()}, x)
        torch.testing.assert_close(mlp(x), expected)
        assert adapter.orthogonality_error() < 1e-6
        if strength == 0:
            torch.testing.assert_close(mlp(x), base, rtol=0, atol=0)


def test_strengths_of_opposite_sign_are_inverse(mlp: Mlp, x: Tensor, turn: Turn) -> None:
    base = mlp(x)
    there = inject_oft(mlp, STYLE, "there")
    turn(there)
    back = inject_oft(mlp, STYLE, "back")
    back.load_packed({name: packed.detach() for name, packed in there.named_packed()})
    back.strength = -1.0
    torch.testing.assert_close(mlp(x), base)


def test_magnitudes_multiply_and_have_a_strength(mlp: Mlp, x: Tensor, generator: torch.Generator) -> None:
    first, second = inject_magnitude(mlp, ("head",), "first"), inject_magnitude(mlp, ("head",), "second")
    for adapter in (first, second):
        for log_scale in adapter.adapter_parameters():
            log_scale.data.normal_(generator=generator)
    (a,), (b,) = first.adapter_parameters(), second.adapter_parameters()
    second.strength = 0.5
    weight = mlp.head.weight.detach().clone()
    hidden = torch.tanh(mlp.to_out[0](torch.tanh(mlp.to_q(x))))
    expected = hidden @ ((a + 0.5 * b).exp()[:, None] * weight).T + mlp.head.bias
    torch.testing.assert_close(mlp(x), expected)
    second.merge()
    torch.testing.assert_close(mlp(x), expected)
    activate(mlp, MagnitudeAdapter)
    assert torch.equal(mlp.head.weight, weight)
