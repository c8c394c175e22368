"""OFT on the output side: the weights are those of sd-scripts and of LyCORIS, bounds and scales included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from oft.errors import CheckpointError, ParamsError
from oft.exchange import import_adapter
from oft.exchange.foreign import ForeignWeights
from oft.exchange.imports import read_foreign
from oft.exchange.sources import ReadOptions
from oft.models.base import load_base

from .programs import kohya_output_side, lycoris_output_side

LAYERS = ("attn1.to_q", "proj_in", "resnets.0.conv1")
BLOCKS = 4


def blocks_of(unet: Any) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    made = {}
    for name, layer in unet.named_modules():
        if name.endswith(LAYERS):
            size = len(layer.weight) // BLOCKS
            made[name] = torch.randn(BLOCKS, size, size, generator=generator) * 0.05
    return made


def write(folder: Path, prefix: str, unet: Any, alpha: float | None, rescale: bool = False) -> Path:
    tensors = {}
    generator = torch.Generator().manual_seed(8)
    for name, blocks in blocks_of(unet).items():
        key = f"{prefix}{name.replace('.', '_')}"
        tensors[f"{key}.oft_blocks"] = blocks
        if alpha is not None:
            tensors[f"{key}.alpha"] = torch.tensor(alpha)
        if rescale:
            weight = unet.get_submodule(name).weight
            shape = (len(weight), *(1,) * (weight.dim() - 1))
            tensors[f"{key}.rescale"] = 0.5 + torch.rand(shape, generator=generator)
    save_file(tensors, folder / "theirs.safetensors")
    return folder / "theirs.safetensors"


def read(file: Path, unet: Any) -> ForeignWeights:
    foreign = read_foreign(file, unet)
    assert isinstance(foreign, ForeignWeights) and "turns the outputs" in foreign.notes[0]
    return foreign


@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_sd_scripts_weights_with_its_bound(unet: Any, tmp_path: Path, alpha: float) -> None:
    """The smaller alpha binds, the larger does not."""
    found = read(write(tmp_path, "oft_unet_", unet, alpha), unet).weights
    free = read(write(tmp_path, "oft_unet_", unet, 1e9), unet).weights
    assert found.keys() == {f"{name}.weight" for name in blocks_of(unet)}
    for name, blocks in blocks_of(unet).items():
        own = unet.get_submodule(name).weight.detach()
        expected = kohya_output_side(own, blocks, alpha).float()
        torch.testing.assert_close(found[f"{name}.weight"], expected, atol=1e-6, rtol=1e-5)
        assert (expected - own).abs().max() > 1e-4
        assert torch.allclose(expected, free[f"{name}.weight"], atol=1e-6) == (alpha == 1.0)


@pytest.mark.parametrize("alpha", [None, 0.0, 1e-3])
@pytest.mark.parametrize("rescale", [False, True])
def test_lycoris_weights_with_its_bound_and_scales(
    unet: Any, tmp_path: Path, alpha: float | None, rescale: bool
) -> None:
    file = write(tmp_path, "lora_unet_", unet, alpha, rescale)
    found, tensors = read(file, unet).weights, load_file(file)
    for name, blocks in blocks_of(unet).items():
        scale = tensors.get(f"lora_unet_{name.replace('.', '_')}.rescale")
        own = unet.get_submodule(name).weight.detach()
        expected = lycoris_output_side(own, blocks, alpha or 0.0, scale).float()
        torch.testing.assert_close(found[f"{name}.weight"], expected, atol=1e-6, rtol=1e-5)


def test_they_are_written_merged_or_as_differences(base_folder: Path, unet: Any, tmp_path: Path) -> None:
    file = write(tmp_path, "lora_unet_", unet, None)
    (note,) = import_adapter(file, base_folder, tmp_path / "delta.safetensors", precision="fp32")
    import_adapter(file, base_folder, tmp_path / "merged", precision="fp32")
    assert "exact weights, no adapter" in note
    deltas, merged = load_file(tmp_path / "delta.safetensors"), load_base(tmp_path / "merged").unet
    assert len(deltas) == len(blocks_of(unet))
    for name in blocks_of(unet):
        delta = deltas[f"lora_unet_{name.replace('.', '_')}.diff"]
        own = unet.get_submodule(name).weight.detach()
        torch.testing.assert_close(
            merged.get_submodule(name).weight.detach(), own + delta, atol=1e-7, rtol=1e-6
        )


def test_half_precision_is_the_default(base_folder: Path, unet: Any, tmp_path: Path) -> None:
    import_adapter(write(tmp_path, "lora_unet_", unet, None), base_folder, tmp_path / "delta.safetensors")
    assert {value.dtype for value in load_file(tmp_path / "delta.safetensors").values()} == {torch.float16}


FIRST = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"lora_unet_nowhere.oft_blocks": (4, 32, 32)}, r"1 do not \(lora_unet_nowhere.oft_blocks\)"),
        ({f"{FIRST}.oft_blocks": (2, 4, 8, 8)}, r"has butterfly factors \(BOFT\)"),
        ({f"{FIRST}.oft_blocks": (4, 30, 30)}, r"make up its 128 outputs, got \(4, 30, 30\)"),
        ({f"{FIRST}.oft_diag": (4, 32, 32)}, r"is of LyCORIS before 2\.0"),
        ({f"{FIRST.replace('lora', 'oft', 1)}.oft_blocks": (4, 32, 32)}, "needs its .alpha, which bounds it"),
        ({f"{FIRST}.oft_blocks": (4, 32, 32), f"{FIRST}.rescale": (7, 1)}, "one rescale for each of its 128"),
        ({"lora_unet_conv_norm_out.oft_blocks": (4, 32, 32)}, "'conv_norm_out' is a GroupNorm"),
    ],
)
def test_what_fits_no_layer_is_named(
    unet: Any, tmp_path: Path, tensors: dict[str, tuple[int, ...]], message: str
) -> None:
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=message):
        read_foreign(tmp_path / "x.safetensors", unet)


def test_its_options_are_its_own(unet: Any, tmp_path: Path) -> None:
    file = write(tmp_path, "lora_unet_", unet, None)
    with pytest.raises(ParamsError, match=r"--cayley \(neumann\) is for files of"):
        read_foreign(file, unet, ReadOptions(cayley="neumann"))
