"""Weights W' of layers under PEFT's truncated products, the model left as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oft.adapters.oft.rotation import rotate_weight
from oft.errors import CheckpointError
from oft.exchange.foreign import linear_weights
from oft.exchange.peft import TruncatedAdapter
from oft.weights import check_numbers


@torch.no_grad()
def truncated_weights(unet: nn.Module, truncated: TruncatedAdapter) -> dict[str, Tensor]:
    """Return W R̃ᵀ of each layer under its parameter's name, for PEFT's truncated products R̃.

    Raises:
        CheckpointError: a layer is unknown, or its blocks do not make up its input.
    """
    check_numbers(truncated.source, truncated.rotations)
    weights = {}
    for name, weight in linear_weights(truncated.source, truncated.rotations, unet).items():
        try:
            rotated = rotate_weight(weight, truncated.rotations[name])
            weights[f"{name}.weight"] = rotated.view_as(unet.get_parameter(f"{name}.weight"))
        except ValueError as fault:
            raise CheckpointError(
                f"{truncated.source}: {name!r}: {fault}; use the base it was trained on"
            ) from fault
    return weights
