"""Adapters of the reference implementation: the weights they give are those of its forward, written anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oft.errors import CheckpointError
from oft.exchange.foreign import ForeignAdapter, inject_foreign
from oft.exchange.imports import read_foreign
from oft.exchange.sources import ReadOptions, Sign

from .conftest import linear_names, reference_weight

BLOCKS = 4
# Where diffusers has the transformers of the miniature base, and where LDM would.
LDM_BLOCKS = {
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "mid_block.attentions.0": "middle_block.1",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.1.attentions.0": "output_blocks.2.1",
    "up_blocks.1.attentions.1": "output_blocks.3.1",
}


def ldm_name(name: str) -> str:
    block = next(block for block in LDM_BLOCKS if name.startswith(f"{block}."))
    return f"model.diffusion_model.{LDM_BLOCKS[block]}{name.removeprefix(block)}"


def raw_matrices(unet: Any, names: list[str], shared: bool, std: float = 0.05) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    raw = {}
    for name in names:
        size = unet.get_submodule(name).in_features // BLOCKS
        raw[name] = torch.randn((size, size) if shared else (BLOCKS, size, size), generator=generator) * std
    return raw


def ldm_state(unet: Any, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint of oft-control: adapted layers with their frozen weights, and other parts."""
    state = {
        "first_stage_model.decoder.conv_in.weight": torch.zeros(2),
        "control_model.time_embed.0.bias": torch.zeros(3),
    }
    for name, value in raw.items():
        layer = unet.get_submodule(name)
        state[f"{ldm_name(name)}.R"] = value
        state[f"{ldm_name(name)}.OFT.weight"] = layer.weight.detach().clone()
        if layer.bias is not None:
            state[f"{ldm_name(name)}.OFT.bias"] = layer.bias.detach().clone()
    return state


def load(file: Path, unet: Any, **options: Any) -> ForeignAdapter:
    foreign = read_foreign(file, unet, ReadOptions(**options))
    assert isinstance(foreign, ForeignAdapter)
    return foreign


def merged(unet: Any, foreign: ForeignAdapter) -> dict[str, Tensor]:
    loaded = inject_foreign(unet, foreign)
    loaded.rotations.merge()
    if loaded.magnitude is not None:
        loaded.magnitude.merge()
    return {name: unet.get_submodule(name).weight.data for name in foreign.packed}


@pytest.mark.parametrize("sign", ["current", "early"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("eps", [None, 1e-4])
def test_control_checkpoints_give_the_references_weights(
    unet: Any, tmp_path: Path, shared: bool, sign: Sign, eps: float | None
) -> None:
    raw = raw_matrices(unet, linear_names(unet), shared)
    torch.save({"state_dict": ldm_state(unet, raw), "epoch": 19}, tmp_path / "model-epoch=19.ckpt")
    expected = {}
    for name, value in raw.items():
        weight = unet.get_submodule(name).weight.detach().clone()
        bound = None
        if eps is not None:
            bound = eps * value.shape[-1] ** 2 / (1 if shared else BLOCKS**0.5)
            assert value.reshape(-1, *value.shape[-2:])[0].norm() > bound, "the bound must bind"
        expected[name] = reference_weight(weight, value, flipped=shared or sign == "early", bound=bound)
    foreign = load(tmp_path / "model-epoch=19.ckpt", unet, reference=sign, coft_eps=eps)
    assert sign in foreign.notes[0]
    for name, weight in merged(unet, foreign).items():
        torch.testing.assert_close(weight, expected[name], atol=2e-6, rtol=1e-5)
        assert (expected[name] - unet.get_submodule(name).unmerged_weight).abs().max() > 1e-4


def test_the_bound_goes_on_holding(unet: Any, tmp_path: Path) -> None:
    torch.save(ldm_state(unet, raw_matrices(unet, linear_names(unet), False)), tmp_path / "x.ckpt")
    config = inject_foreign(unet, load(tmp_path / "x.ckpt", unet, coft_eps=1e-4)).rotations.config
    assert config.coft and config.eps == 1e-4 and config.num_blocks == BLOCKS


def test_fitted_magnitudes_are_taken(unet: Any, tmp_path: Path, generator: torch.Generator) -> None:
    raw = raw_matrices(unet, linear_names(unet), False)
    state, expected = ldm_state(unet, raw), {}
    for name, value in raw.items():
        weight = unet.get_submodule(name).weight.detach().clone()
        scale = 0.5 + torch.rand(len(weight), 1, generator=generator)
        state[f"{ldm_name(name)}.scaling_factors"] = scale
        expected[name] = reference_weight(weight, value, flipped=False, scale=scale)
    torch.save(state, tmp_path / "x.ckpt")
    for name, weight in merged(unet, load(tmp_path / "x.ckpt", unet)).items():
        torch.testing.assert_close(weight, expected[name], atol=2e-6, rtol=1e-5)


def test_the_hint_encoder_gives_the_references_features(
    unet: Any, tmp_path: Path, generator: torch.Generator
) -> None:
    widths = (3, 16, 16, 32, 32, 96, 96, 256, 128)
    convs = [
        nn.Conv2d(widths[i], widths[i + 1], 3, padding=1, stride=2 if i in (2, 4, 6) else 1) for i in range(8)
    ]
    state = ldm_state(unet, raw_matrices(unet, linear_names(unet), False))
    for index, conv in enumerate(convs):
        for kind, value in conv.named_parameters():
            value.data = torch.randn(value.shape, generator=generator) * 0.1
            state[f"control_model.input_hint_block.{2 * index}.{kind}"] = value.data
    torch.save(state, tmp_path / "x.ckpt")
    loaded = inject_foreign(unet, load(tmp_path / "x.ckpt", unet))
    images = torch.rand(1, 3, 32, 32, generator=generator)
    expected = images
    for index, conv in enumerate(convs):
        expected = conv(expected if index == 0 else F.silu(expected))
    assert loaded.encoder is not None
    torch.testing.assert_close(loaded.encoder(images), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sign", ["current", "early"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("recorded", [None, False, True])
def test_attention_processors_give_the_references_weights(
    unet: Any, tmp_path: Path, shared: bool, sign: Sign, recorded: bool | None
) -> None:
    """The processors of diffusers have one sign for both shapes; some record COFT's eps in the file."""
    names = linear_names(unet, ("to_q", "to_k", "to_v", "to_out.0"))
    raw, expected = raw_matrices(unet, names, shared), {}
    state: dict[str, Tensor] = {}
    for name, value in raw.items():
        attention, _, layer = name.removesuffix(".0").rpartition(".")
        key = f"{attention}.processor.{layer}_oft"
        weight = unet.get_submodule(name).weight.detach().clone()
        state |= {f"{key}.R": value, f"{key}.hidden_size": torch.tensor(weight.shape[0])}
        if recorded is not None:
            state |= {f"{key}.oft_eps": torch.tensor(1e-4), f"{key}.oft_is_coft": torch.tensor(recorded)}
        bound = value.shape[-1] ** 2 * 1e-4 / (1 if shared else BLOCKS**0.5) if recorded else None
        expected[name] = reference_weight(weight, value, flipped=sign == "early", bound=bound)
    torch.save(state, tmp_path / "pytorch_oft_weights.bin")
    foreign = load(tmp_path, unet, reference=sign)
    assert set(foreign.packed) == set(names)
    assert (foreign.eps is not None) == bool(recorded)
    for name, weight in merged(unet, foreign).items():
        torch.testing.assert_close(weight, expected[name], atol=2e-6, rtol=1e-5)


# --- what cannot be read ------------------------------------------------------------------------------------


def test_another_base_is_refused(unet: Any, tmp_path: Path) -> None:
    state = ldm_state(unet, raw_matrices(unet, linear_names(unet), False))
    torch.save(state, tmp_path / "x.ckpt")
    with torch.no_grad():
        unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight.mul_(1.1)
    with pytest.raises(CheckpointError, match=r"those of 'mid_block.* are not \(relative distance 0.09"):
        load(tmp_path / "x.ckpt", unet)


def test_a_checkpoint_in_half_precision_belongs_to_its_base(unet: Any, tmp_path: Path) -> None:
    state = ldm_state(unet, raw_matrices(unet, linear_names(unet), False))
    torch.save({key: value.half() for key, value in state.items()}, tmp_path / "x.ckpt")
    inject_foreign(unet, load(tmp_path / "x.ckpt", unet))


def test_convolutions_are_refused(unet: Any, tmp_path: Path) -> None:
    state = ldm_state(unet, raw_matrices(unet, linear_names(unet), False))
    name = "model.diffusion_model.input_blocks.1.0.in_layers.2"
    state |= {f"{name}.R": torch.zeros(128, 9, 9), f"{name}.OFT.weight": torch.zeros(128, 128, 3, 3)}
    torch.save(state, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"input_blocks.1.0.in_layers.2'; .*convolution"):
        load(tmp_path / "x.ckpt", unet)


@pytest.mark.parametrize("coft_eps", [None, 1e-4])
@pytest.mark.parametrize("shape", [(4, 31, 32), (32, 32), (4,), (1, 256, 256), (4, 36, 36)])
def test_matrices_of_odd_shapes_are_named(
    unet: Any, tmp_path: Path, shape: tuple[int, ...], coft_eps: float | None
) -> None:
    raw = raw_matrices(unet, linear_names(unet), False)
    name = list(raw)[-1]
    torch.save(ldm_state(unet, {**raw, name: torch.zeros(shape)}), tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=rf"every R must be .* got {re.escape(str(shape))} for the"):
        load(tmp_path / "x.ckpt", unet, coft_eps=coft_eps)
