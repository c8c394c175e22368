"""OFT on convolutions: the laws of linear layers, for every way of laying windows over a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oft.adapters.oft.adapting import adapt
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.layers import Application, Part, num_features
from oft.adapters.oft.magnitude import inject_magnitude
from oft.adapters.oft.module import OFTAdapter, inject_oft
from oft.adapters.oft.rotation import cayley, skew_from_packed
from oft.errors import ParamsError
from tests.oft.conftest import cosines, naive_rotation

Turn = Callable[..., None]

CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "3x3": {"kernel_size": 3, "padding": 1},
    "pointwise": {"kernel_size": 1},
    "pointwise strided": {"kernel_size": 1, "stride": 2},
    "strided": {"kernel_size": 3, "stride": 2, "padding": 1},
    "dilated, oblong": {"kernel_size": (3, 2), "dilation": (2, 1), "padding": (2, 0)},
    "grouped": {"kernel_size": 3, "padding": 1, "groups": 2},
    "depthwise": {"kernel_size": 3, "groups": 4},
    "circular": {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
    "same": {"kernel_size": 3, "padding": "same"},
}
IN, OUT = 4, 8


def block_size_of(options: dict[str, Any]) -> int:
    """One block for each input channel, as in the paper's appendix; for two where the window is a point."""
    return 2 if options["kernel_size"] == 1 else 6 if options["kernel_size"] == (3, 2) else 9


def convolution(options: dict[str, Any], generator: torch.Generator) -> nn.Sequential:
    layer = nn.Conv2d(IN, OUT, **options).double()
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return nn.Sequential(layer)


def adapted(
    model: nn.Sequential, options: dict[str, Any], application: Application = "auto"
) -> tuple[OFTAdapter, nn.Conv2d]:
    config = OFTConfig(("0",), block_size=block_size_of(options), application=application)
    layer = model[0]
    assert isinstance(layer, nn.Conv2d)
    return inject_oft(model, config), layer


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(2, IN, 6, 7, generator=generator).double()


def naive_weight(layer: nn.Conv2d, packed: Tensor) -> Tensor:
    """W Rᵀ by dense matrices, group by group."""
    features = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
    parts = zip(
        layer.weight.detach().flatten(1).chunk(layer.groups),
        torch.stack(_diagonal(naive_rotation(packed, features), layer.groups)),
        strict=True,
    )
    return torch.cat([rows @ rotation.T for rows, rotation in parts]).view_as(layer.weight)


def _diagonal(rotation: Tensor, groups: int) -> list[Tensor]:
    size = len(rotation) // groups
    return [rotation[i * size : (i + 1) * size, i * size : (i + 1) * size] for i in range(groups)]


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("application", ["weight", "input", "auto"])
def test_identity_at_first_then_the_rotated_convolution(
    options: dict[str, Any], application: Application, x: Tensor, turn: Turn, generator: torch.Generator
) -> None:
    model = convolution(options, generator)
    base = model(x)
    adapter, layer = adapted(model, options, application)
    torch.testing.assert_close(model(x), base, rtol=0, atol=1e-12)
    turn(adapter)
    (packed,) = adapter.adapter_parameters()
    plain = nn.Conv2d(IN, OUT, **options).double()
    plain.load_state_dict(layer.state_dict())
    plain.weight.data = naive_weight(layer, packed.detach())
    assert not torch.allclose(plain(x), base)
    torch.testing.assert_close(model(x), plain(x))


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_every_application_has_the_same_gradients(
    options: dict[str, Any], x: Tensor, turn: Turn, generator: torch.Generator
) -> None:
    model = convolution(options, generator)
    state = model.state_dict()
    results = []
    for application in ("weight", "input"):
        twin = nn.Sequential(nn.Conv2d(IN, OUT, **options).double())
        twin.load_state_dict(state)
        adapter, _ = adapted(twin, options, application)
        turn_generator = torch.Generator().manual_seed(3)
        (packed,) = adapter.adapter_parameters()
        packed.data.copy_(torch.randn(packed.shape, generator=turn_generator))
        adapter.refresh()
        leaf = x.clone().requires_grad_()
        twin(leaf).square().sum().backward()
        results.append((leaf.grad, packed.grad))
    torch.testing.assert_close(results[0], results[1])
    torch.autograd.gradcheck(twin, x.requires_grad_())


@pytest.mark.parametrize("kind", ["3x3", "pointwise", "grouped"])
@pytest.mark.parametrize("application", ["weight", "input"])
def test_a_convolution_is_twice_differentiable(
    kind: str, application: Application, generator: torch.Generator
) -> None:
    options = CONVOLUTIONS[kind]
    layer = adapt(convolution(options, generator).requires_grad_(False)[0])
    layer.application = application
    size = block_size_of(options)
    blocks = num_features(layer) // size
    packed = (torch.randn(blocks, size * (size - 1) // 2, generator=generator) * 0.3).double()
    x = torch.randn(1, IN, 2, 3, generator=generator).double().requires_grad_()

    def output(x: Tensor, packed: Tensor) -> Tensor:
        rotations = cayley(skew_from_packed(packed))
        layer.rotations[:] = [Part(lambda: rotations)]
        y: Tensor = layer(x)
        return y.square().sum()

    assert torch.autograd.gradgradcheck(output, (x, packed.requires_grad_()))


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_merged_is_unmerged_and_angles_between_filters_stay(
    options: dict[str, Any], x: Tensor, turn: Turn, generator: torch.Generator
) -> None:
    model = convolution(options, generator)
    adapter, layer = adapted(model, options)
    before = layer.weight.detach().clone()
    turn(adapter)
    unmerged = model(x)
    with adapter.merging():
        torch.testing.assert_close(model(x), unmerged)
        assert not torch.allclose(layer.weight, before)
        for now, then in zip(layer.weight.chunk(layer.groups), before.chunk(layer.groups), strict=True):
            torch.testing.assert_close(cosines(now.flatten(1)), cosines(then.flatten(1)))
            torch.testing.assert_close(now.flatten(1).norm(dim=1), then.flatten(1).norm(dim=1))
    assert torch.equal(layer.weight, before)
    adapter.remove()
    assert type(layer) is nn.Conv2d


def test_magnitudes_scale_the_filters(x: Tensor, turn: Turn, generator: torch.Generator) -> None:
    options = CONVOLUTIONS["grouped"]
    model = convolution(options, generator)
    adapter, layer = adapted(model, options)
    turn(adapter)
    rotated = model(x)
    magnitude = inject_magnitude(model, ("0",))
    torch.testing.assert_close(model(x), rotated)
    (log_scale,) = magnitude.adapter_parameters()
    log_scale.data.normal_(generator=generator)
    assert layer.bias is not None
    bias = layer.bias.view(-1, 1, 1)
    scaled = (rotated - bias) * log_scale.exp().view(-1, 1, 1) + bias
    torch.testing.assert_close(model(x), scaled)
    model(x).square().sum().backward()
    assert log_scale.grad is not None and log_scale.grad.abs().min() > 0
    magnitude.merge()
    adapter.merge()
    torch.testing.assert_close(model(x), scaled)


def test_a_block_across_two_groups_is_refused(generator: torch.Generator) -> None:
    model = convolution(CONVOLUTIONS["depthwise"], generator)
    with pytest.raises(
        ParamsError, match=r"block_size \(18\).*none of them over two of its 4 groups.*: 3, 9"
    ):
        inject_oft(model, OFTConfig(("0",), block_size=18))


def test_autocast_leaves_the_weights_precise(turn: Turn, generator: torch.Generator) -> None:
    options = CONVOLUTIONS["3x3"]
    model = convolution(options, generator).float()
    adapter, layer = adapted(model, options)
    turn(adapter)
    x = torch.randn(2, IN, 6, 7, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x)
    assert output.dtype == torch.bfloat16
    with adapter.merging():
        weight, bias = layer.weight.bfloat16(), layer.bias
        assert bias is not None
        expected = F.conv2d(x.bfloat16(), weight, bias.bfloat16(), padding=1)
    torch.testing.assert_close(output, expected)
