"""Parameters that are multiples of S: another path for the optimizer, and nothing else that is other."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.module import OFTAdapter, inject_oft
from oft.adapters.oft.rotation import ParameterScale, skew_norm
from oft.adapters.oft.saving import save_adapter
from oft.adapters.tensors import read_tensors, write_tensors
from tests.oft.conftest import MLP_TARGETS, Mlp, naive_forward

SCALED = OFTConfig(MLP_TARGETS, num_blocks=2, parameter_scale="block_size")
PLAIN = OFTConfig(MLP_TARGETS, num_blocks=2)
# Blocks of 8 and of 12: the scales 4 and 2.67, the second of them no number that fp32 holds exactly.
SCALES = {"to_q": 4.0, "to_out.0": 32 / 12}


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(30, 16, generator=generator)


@pytest.fixture
def skews(generator: torch.Generator) -> dict[str, Tensor]:
    """Entries of S for the blocks of the two targets."""
    return {
        "to_q": torch.randn(2, 28, generator=generator) * 0.2,
        "to_out.0": torch.randn(2, 66, generator=generator) * 0.2,
    }


def train(model: nn.Module, adapter: OFTAdapter, x: Tensor, steps: int, lr: float = 0.01) -> None:
    optimizer = torch.optim.AdamW(adapter.adapter_parameters(), lr=lr)
    for _ in range(steps):
        (model(x) - x[:, :4]).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_fresh_adapter_changes_no_bit(mlp: Mlp, x: Tensor) -> None:
    before = mlp(x)
    adapter = inject_oft(mlp, SCALED)
    assert adapter.scales == SCALES
    assert torch.equal(mlp(x), before)


def test_the_parameters_are_s_divided_by_the_scale(mlp: Mlp, x: Tensor, generator: torch.Generator) -> None:
    base = copy.deepcopy(mlp)
    adapter = inject_oft(mlp, SCALED)
    with torch.no_grad():
        for parameter in adapter.adapter_parameters():
            parameter.normal_(std=0.1, generator=generator)
    packed = {name: value * SCALES[name] for name, value in adapter.named_values()}
    torch.testing.assert_close(mlp(x), naive_forward(base, packed, x))
    gradients = torch.autograd.grad(mlp(x).square().sum(), adapter.adapter_parameters())
    expected = torch.autograd.grad(
        naive_forward(base, packed, x).square().sum(), adapter.adapter_parameters()
    )
    torch.testing.assert_close(gradients, expected, atol=1e-4, rtol=1e-4)


def test_equal_s_is_the_same_function(mlp: Mlp, x: Tensor, skews: dict[str, Tensor]) -> None:
    twin = copy.deepcopy(mlp)
    plain, scaled = inject_oft(mlp, PLAIN), inject_oft(twin, SCALED)
    for adapter in (plain, scaled):
        adapter.load_packed(skews)
    for (_, actual), (_, expected) in zip(scaled.named_packed(), plain.named_packed(), strict=True):
        torch.testing.assert_close(actual, expected, atol=0, rtol=2e-7)
    torch.testing.assert_close(twin(x), mlp(x))
    for strength in (0.5, -1.0):
        plain.strength = scaled.strength = strength
        torch.testing.assert_close(twin(x), mlp(x))
        with scaled.merging():
            torch.testing.assert_close(twin(x), mlp(x))


def test_dropped_blocks_are_the_identity(mlp: Mlp, x: Tensor, skews: dict[str, Tensor]) -> None:
    dropping = OFTConfig(MLP_TARGETS, num_blocks=2, parameter_scale="block_size", dropout=0.5)
    adapter = inject_oft(mlp, dropping)
    adapter.load_packed(skews)
    kept = []
    whole = adapter.eval().rotations()
    adapter.train()
    for seed in range(8):
        adapter.seed_dropout(seed)
        for name, rotations in adapter.rotations().items():
            identity = torch.eye(rotations.shape[-1])
            for block, applied in zip(rotations, whole[name], strict=True):
                kept.append(torch.equal(block, applied))
                assert kept[-1] or torch.equal(block, identity)
    assert 8 < sum(kept) < 24  # of 32


@pytest.mark.parametrize("share", [False, True])
def test_coft_has_the_same_bound(mlp: Mlp, x: Tensor, share: bool) -> None:
    twin = copy.deepcopy(mlp)
    norms = []
    scales: tuple[ParameterScale, ...] = ("none", "block_size")
    for model, scale in zip((mlp, twin), scales, strict=True):
        config = OFTConfig(
            MLP_TARGETS, num_blocks=2, block_share=share, coft=True, eps=1e-3, parameter_scale=scale
        )
        adapter = inject_oft(model, config)
        train(model, adapter, x, steps=3, lr=0.05)
        model(x)  # refuses parameters outside the bound
        norms.append([skew_norm(packed) for _, packed in adapter.named_packed()])
    torch.testing.assert_close(norms[1], norms[0])


@pytest.mark.parametrize("coft", [False, True])
def test_peft_reads_s_whatever_was_trained(mlp: Mlp, x: Tensor, tmp_path: Path, coft: bool) -> None:
    import peft

    twin, base = copy.deepcopy(mlp), mlp(x)
    adapter = inject_oft(
        mlp, OFTConfig(MLP_TARGETS, num_blocks=2, coft=coft, eps=5e-3, parameter_scale="block_size")
    )
    train(mlp, adapter, x, steps=5)
    save_adapter(tmp_path, adapter, base_hash="abc")
    theirs = peft.PeftModel.from_pretrained(twin, tmp_path)
    assert (mlp(x) - base).abs().max() > 1e-2
    torch.testing.assert_close(theirs(x), mlp(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", ["none", "block_size"])
def test_loading_gives_back_what_was_trained_to_the_bit(
    mlp: Mlp, x: Tensor, tmp_path: Path, scale: ParameterScale
) -> None:
    twin = copy.deepcopy(mlp)
    adapter = inject_oft(mlp, OFTConfig(MLP_TARGETS, num_blocks=2, parameter_scale=scale))
    train(mlp, adapter, x, steps=20)
    save_adapter(tmp_path / "saved", adapter, base_hash="abc")
    loaded = OrthogonalAdapter.load(tmp_path / "saved", twin)
    assert loaded.rotations.config.parameter_scale == scale
    assert torch.equal(twin(x), mlp(x))
    for (_, actual), (_, expected) in zip(
        loaded.rotations.named_values(), adapter.named_values(), strict=True
    ):
        torch.testing.assert_close(actual, expected, atol=0, rtol=2e-7)
    save_adapter(tmp_path / "again", loaded.rotations, base_hash="abc")
    files = [tmp_path / folder / "adapter_model.safetensors" for folder in ("saved", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_loaded_adapter_takes_the_steps_it_would_have_taken(mlp: Mlp, x: Tensor, tmp_path: Path) -> None:
    twin = copy.deepcopy(mlp)
    adapter = inject_oft(mlp, SCALED)
    train(mlp, adapter, x, steps=3)
    save_adapter(tmp_path, adapter, base_hash="abc")
    loaded = OrthogonalAdapter.load(tmp_path, twin)
    for model, on_it in ((mlp, adapter), (twin, loaded.rotations)):
        train(model, on_it, x, steps=3)
    torch.testing.assert_close(twin(x), mlp(x))


def test_an_adapter_saved_without_the_setting_is_plain(mlp: Mlp, x: Tensor, tmp_path: Path) -> None:
    twin = copy.deepcopy(mlp)
    adapter = inject_oft(mlp, PLAIN)
    train(mlp, adapter, x, steps=3)
    save_adapter(tmp_path, adapter, base_hash="abc")
    file = tmp_path / "adapter_model.safetensors"
    tensors, metadata = read_tensors(file)
    assert metadata.pop("parameter_scale") == "none"
    write_tensors(file, tensors, metadata)
    loaded = OrthogonalAdapter.load(tmp_path, twin)
    assert loaded.rotations.config == PLAIN
    assert torch.equal(twin(x), mlp(x))
    for name, value in loaded.rotations.named_values():
        assert torch.equal(value, load_file(file)[f"base_model.model.{name}.oft_R.weight"])


def first_step(num_blocks: int, scale: ParameterScale) -> tuple[float, float]:
    """The turn ‖R - I‖₂ that Adam's first step gives a layer of 128 inputs, and the change of its outputs."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(128, 64, bias=False)
    model = nn.ModuleDict({"layer": layer})
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
    x, target = torch.randn(16, 128, generator=generator), torch.randn(16, 64, generator=generator)
    adapter = inject_oft(model, OFTConfig(("layer",), num_blocks=num_blocks, parameter_scale=scale))
    optimizer = torch.optim.AdamW(adapter.adapter_parameters(), lr=1e-4)
    before = layer(x)
    (before - target).square().mean().backward()
    optimizer.step()
    moved = (layer(x) - before).norm() / before.norm()
    rotations = adapter.rotations()["layer"]
    turns = torch.linalg.matrix_norm(rotations - torch.eye(rotations.shape[-1]), ord=2)
    return turns.mean().item(), moved.item()


@pytest.mark.parametrize("measure", [0, 1])
def test_the_first_step_of_adam_turns_blocks_of_every_size_alike(measure: int) -> None:
    sizes = (1, 2, 4, 8, 16)
    scaled = [first_step(num_blocks, "block_size")[measure] for num_blocks in sizes]
    plain = [first_step(num_blocks, "none")[measure] for num_blocks in sizes]
    assert max(scaled) < 2 * min(scaled)
    assert max(plain) > 8 * min(plain)
    assert scaled[2] == plain[2]  # blocks of 32 have the scale 1
