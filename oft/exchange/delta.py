"""A file of weight differences ΔW = W' - W, as other front ends load it.

The names are LyCORIS' for a full difference, ``lora_unet_<layer with underscores>.diff``. AUTOMATIC1111's
Lora extension (``network_full.py``) and ComfyUI (``comfy/lora.py``) add them, times the strength the user
chooses, to the weights of a Stable Diffusion checkpoint. Biases are never adapted: there is no ``.diff_b``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from oft.adapters.tensors import write_tensors

PREFIX, SUFFIX = "lora_unet_", ".diff"


def delta_key(layer: str) -> str:
    """Return the name of a layer's difference, given its name in diffusers' UNet."""
    return f"{PREFIX}{layer.replace('.', '_')}{SUFFIX}"


def write_delta(
    target: Path,
    unet: nn.Module,
    weights: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write what ``weights``, adapted ones by layer name, add to those of ``unet``; in ``dtype``."""
    deltas = {
        delta_key(name): (weight.float() - unet.get_parameter(f"{name}.weight").detach().float()).to(dtype)
        for name, weight in weights.items()
    }
    write_tensors(target, deltas, metadata)
