"""Files of LoRA as other programs write them, read by diffusers: its own, kohya's, AUTOMATIC1111's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from oft.adapters.files import CONFIG_FILE, LORA_FILE
from oft.errors import CheckpointError, first_line

if TYPE_CHECKING:
    from oft.models.base import Base

PARTS = ("unet", "text_encoder", "text_encoder_2")
"""What LoRA may be for; the last is of Stable Diffusion XL alone."""


def is_lora_file(path: Path) -> bool:
    """Return whether an adapter is a single file of weights, or a folder that holds no more than LoRA's."""
    if path.is_file():
        return path.suffix.lower() == ".safetensors"
    return (path / LORA_FILE).is_file() and not (path / CONFIG_FILE).is_file()


def lora_changes(base: Base, path: Path, strength: float) -> dict[str, dict[str, Tensor]]:
    """Return what a file of LoRA adds to the base's parameters, by network and parameter's name.

    Raises:
        CheckpointError: diffusers finds no LoRA for this base in it.
    """
    from oft.models.base import make_pipeline

    file = path / LORA_FILE if path.is_dir() else path
    pipeline = make_pipeline(base)
    try:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, use_safetensors=True)
    except Exception as fault:  # diffusers raises anything on files of other programs and other bases
        pipeline.unload_lora_weights()
        raise CheckpointError(
            f"{file}: diffusers finds no LoRA for this base in it ({first_line(fault)}); give the base it "
            "was trained on, or bring an OFT file of another program in with `oft import`"
        ) from fault
    adapted = {
        part: _adapted_layers(getattr(base, part)) for part in PARTS if getattr(base, part) is not None
    }
    before = {part: _weights(getattr(base, part), names) for part, names in adapted.items()}
    pipeline.fuse_lora(components=[part for part, names in adapted.items() if names], lora_scale=strength)
    after = {part: _weights(getattr(base, part), names) for part, names in adapted.items()}
    pipeline.unfuse_lora()
    pipeline.unload_lora_weights()
    for part, values in before.items():  # unfusing subtracts what was added, to rounding
        for name, value in values.items():
            getattr(base, part).get_parameter(name).data.copy_(value)
    return {
        part: {name: after[part][name] - value for name, value in values.items()}
        for part, values in before.items()
    }


def _adapted_layers(network: Any) -> list[str]:
    return [name for name, module in network.named_modules() if hasattr(module, "base_layer")]


@torch.no_grad()
def _weights(network: Any, layers: list[str]) -> dict[str, Tensor]:
    return {
        f"{name}.weight": network.get_submodule(name).base_layer.weight.detach().clone() for name in layers
    }
