"""Weight differences: added to the base they are the merged weights, under the names front ends look for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.exchange.delta import delta_key, write_delta

from .conftest import Inputs, output, without_hint


def test_names_are_those_of_kohya_and_lycoris() -> None:
    assert (
        delta_key("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0.weight")
        == "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.diff"
    )
    assert delta_key("mid_block.resnets.0.conv1.bias") == "lora_unet_mid_block_resnets_0_conv1.diff_b"


def apply_as_front_ends_do(unet: Any, file: Path, strength: float = 1.0) -> None:
    """ComfyUI's way: a map from every name a weight can have to the weight; differences are added."""
    weights = {
        f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}": value
        for name, value in unet.state_dict().items()
        if name.endswith(".weight")
    }
    for key, diff in load_file(file).items():
        name, dot, kind = key.partition(".")
        assert (dot, kind) == (".", "diff") and weights[name].shape == diff.shape
        weights[name] += strength * diff.to(weights[name].dtype)


def test_base_plus_difference_gives_the_adapters_outputs(
    pristine_unet: Any, unet: Any, loaded: OrthogonalAdapter, unet_inputs: Inputs, tmp_path: Path
) -> None:
    import copy

    target = copy.deepcopy(pristine_unet)
    weights = loaded.merged_values()
    write_delta(tmp_path / "delta.safetensors", unet, weights, {})
    apply_as_front_ends_do(target, tmp_path / "delta.safetensors")
    for name, weight in weights.items():
        torch.testing.assert_close(target.get_parameter(name).data, weight, atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(
        output(target, unet_inputs), without_hint(unet, unet_inputs), atol=1e-5, rtol=1e-5
    )


def test_magnitudes_are_in_the_difference(unet: Any, loaded: OrthogonalAdapter, tmp_path: Path) -> None:
    assert loaded.magnitude is not None
    write_delta(tmp_path / "with.safetensors", unet, loaded.merged_values(), {})
    loaded.magnitude.remove()
    write_delta(
        tmp_path / "without.safetensors",
        unet,
        OrthogonalAdapter(unet, loaded.rotations).merged_values(),
        {},
    )
    one, other = load_file(tmp_path / "with.safetensors"), load_file(tmp_path / "without.safetensors")
    assert one.keys() == other.keys()
    assert all((one[name] - other[name]).abs().max() > 1e-3 for name in one)


def test_half_precision_rounds_and_no_more(unet: Any, loaded: OrthogonalAdapter, tmp_path: Path) -> None:
    weights = loaded.merged_values()
    write_delta(tmp_path / "full.safetensors", unet, weights, {})
    write_delta(tmp_path / "half.safetensors", unet, weights, {}, torch.float16)
    full, half = load_file(tmp_path / "full.safetensors"), load_file(tmp_path / "half.safetensors")
    assert all(torch.equal(half[name], full[name].half()) for name in full)
