"""Quantised linear layers are adapted on their input's side, and refuse to be merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.magnitude import inject_magnitude
from oft.adapters.oft.module import inject_oft
from oft.adapters.oft.quantized import is_quantized
from oft.adapters.oft.saving import save_adapter
from oft.errors import ParamsError


class Int8Linear(nn.Linear):
    """Rows of 8-bit numbers times a scale each, as bitsandbytes and others keep them."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__(plain.in_features, plain.out_features, plain.bias is not None)
        scale = plain.weight.detach().abs().amax(dim=1, keepdim=True) / 127
        self.weight = nn.Parameter(
            (plain.weight.detach() / scale).round().to(torch.int8), requires_grad=False
        )
        self.register_buffer("scale", scale)
        if plain.bias is not None:
            self.bias = nn.Parameter(plain.bias.detach(), requires_grad=False)

    def dense(self) -> Tensor:
        return self.weight.float() * self.get_buffer("scale")

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.dense(), self.bias)


class Wrapped(Tensor):
    """A tensor subclass in a plain layer, as torchao's are."""


class Model(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.to_q = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.to_q(x)
        return y


@pytest.fixture(params=[False, True], ids=["plain", "bias"])
def pair(request: pytest.FixtureRequest) -> tuple[Model, Model]:
    """A quantised layer, and a dense one of the same values."""
    torch.manual_seed(0)
    quantized = Int8Linear(nn.Linear(24, 16, bias=request.param))
    dense = nn.Linear(24, 16, bias=request.param)
    with torch.no_grad():
        dense.weight.copy_(quantized.dense())
        if request.param:
            dense.bias.copy_(quantized.bias)
    return Model(quantized), Model(dense)


def test_a_quantised_layer_is_told_from_others() -> None:
    assert is_quantized(Int8Linear(nn.Linear(8, 8)))
    assert not is_quantized(nn.Linear(8, 8))
    assert not is_quantized(nn.MultiheadAttention(8, 2).out_proj)
    assert not is_quantized(nn.Conv2d(3, 3, 1))
    plain = nn.Linear(8, 8)
    plain.weight = nn.Parameter(plain.weight.detach().as_subclass(Wrapped), requires_grad=False)
    assert is_quantized(plain)


def test_it_computes_what_a_dense_layer_of_its_values_does(pair: tuple[Model, Model]) -> None:
    outputs, gradients = [], []
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(1))
    for model in pair:
        adapter = inject_oft(model, OFTConfig(("to_q",), num_blocks=3))
        before = model(x)
        with torch.no_grad():
            for number, value in enumerate(adapter.adapter_parameters()):
                value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(number)))
        magnitude = inject_magnitude(model, ("to_q",))
        with torch.no_grad():
            for value in magnitude.adapter_parameters():
                value.add_(torch.linspace(-0.5, 0.5, 16))
        for value in adapter.adapter_parameters():
            value.requires_grad_(True)
        input = x.clone().requires_grad_(True)
        output = model(input)
        output.square().sum().backward()
        assert not torch.allclose(before, output)
        outputs.append(output.detach())
        own = [value.grad for value in (*adapter.adapter_parameters(), *magnitude.adapter_parameters())]
        gradients.append([input.grad, *own])
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(*gradients, strict=True):
        assert ours is not None
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_it_starts_as_the_base_and_comes_off_without_a_trace(pair: tuple[Model, Model]) -> None:
    model, x = pair[0], torch.randn(5, 24)
    before, weight = model(x), model.to_q.weight.detach().clone()
    adapter = inject_oft(model, OFTConfig(("to_q",), num_blocks=3))
    assert torch.equal(model(x), before)
    adapter.remove()
    assert type(model.to_q) is Int8Linear
    assert torch.equal(model.to_q.weight, weight)
    assert torch.equal(model(x), before)


def test_merging_is_refused_with_the_reason_and_changes_nothing(pair: tuple[Model, Model]) -> None:
    model, x = pair[0], torch.randn(5, 24)
    adapter = inject_oft(model, OFTConfig(("to_q",), num_blocks=3))
    with torch.no_grad():
        adapter.adapter_parameters()[0].add_(0.1)
    before = model(x)
    with pytest.raises(ParamsError, match="Int8Linear keeps its weight quantised"):
        adapter.merge()
    assert not adapter.merged
    assert torch.equal(model(x), before)


def test_it_is_saved_and_loaded_as_any(pair: tuple[Model, Model], tmp_path: Path) -> None:
    quantized, dense = pair
    adapter = inject_oft(quantized, OFTConfig(("to_q",), num_blocks=3))
    with torch.no_grad():
        adapter.adapter_parameters()[0].add_(0.1)
    save_adapter(tmp_path / "saved", adapter, base_hash="x")
    OrthogonalAdapter.load(tmp_path / "saved", dense)
    x = torch.randn(5, 24)
    torch.testing.assert_close(dense(x), quantized(x), rtol=1e-5, atol=1e-5)
