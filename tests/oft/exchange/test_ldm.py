"""Names of Latent Diffusion's layers, against diffusers' own converter of whole checkpoints."""

from __future__ import annotations

import pytest
import torch

from oft.exchange.ldm import diffusers_name

REST = "transformer_blocks.0.attn1.to_out.0.weight"


@pytest.mark.parametrize("layers_per_block", [1, 2, 3])
def test_names_are_those_of_diffusers_converter(layers_per_block: int) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    per_resolution = layers_per_block + 1
    inputs = 4 * per_resolution
    names = {f"input_blocks.{i}.1.{REST}" for i in range(1, inputs) if i % per_resolution}
    names |= {f"output_blocks.{i}.1.{REST}" for i in range(inputs)} | {f"middle_block.1.{REST}"}
    others = {f"input_blocks.{i}.0.out_layers.0.weight" for i in range(inputs)}
    others |= {f"middle_block.{i}.out_layers.0.weight" for i in (0, 2)}
    checkpoint = {
        f"model.diffusion_model.{name}": torch.tensor(index)
        for index, name in enumerate(sorted(names | others))
    }
    converted = convert_ldm_unet_checkpoint(checkpoint, {"layers_per_block": layers_per_block})
    theirs = {value.item(): name for name, value in converted.items() if name.endswith(REST)}
    assert len(theirs) == len(names)
    for name, index in checkpoint.items():
        if name.endswith(REST):
            assert diffusers_name(name, layers_per_block) == theirs[index.item()]


@pytest.mark.parametrize(
    "name",
    [
        "input_blocks.0.0",
        "input_blocks.0.1.transformer_blocks.0.attn1.to_q",
        "input_blocks.3.1.transformer_blocks.0.attn1.to_q",  # a downsampler's place
        "input_blocks.1.0.in_layers.2",
        "input_blocks.1.1.proj_in",
        "middle_block.0.in_layers.2",
        "out.2",
        "first_stage_model.decoder.mid.attn_1.q",
    ],
)
def test_layers_outside_transformers_have_no_name(name: str) -> None:
    assert diffusers_name(name, 2) is None
