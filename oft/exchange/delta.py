"""A file of weight differences ΔW = W' - W, as other front ends load it.

The names are LyCORIS' for a full difference, ``lora_unet_<layer with underscores>.diff``, and ``.diff_b`` of
a bias. AUTOMATIC1111's Lora extension (``network_full.py``) and ComfyUI (``comfy/lora.py``) add them, times
the strength the user chooses, to the weights of a Stable Diffusion checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from oft.adapters.tensors import write_tensors

PREFIX, SUFFIXES = "lora_unet_", {"weight": ".diff", "bias": ".diff_b"}


def delta_key(parameter: str) -> str:
    """Return the name of a difference, given its parameter's name in diffusers' UNet."""
    layer, _, kind = parameter.rpartition(".")
    return f"{PREFIX}{layer.replace('.', '_')}{SUFFIXES[kind]}"


def write_delta(
    target: Path,
    unet: nn.Module,
    weights: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write what ``weights``, adapted ones by parameter name, add to those of ``unet``; in ``dtype``."""
    deltas = {
        delta_key(name): (weight.float() - unet.get_parameter(name).detach().float()).to(dtype)
        for name, weight in weights.items()
    }
    write_tensors(target, deltas, metadata)
