"""Adapted weights W' by layer name, the model left as it is."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from oft.adapters.interop import LoadedAdapter
from oft.adapters.rotation import rotate_weight
from oft.adapters.tensors import check_numbers
from oft.errors import CheckpointError
from oft.exchange.foreign import linear_weights
from oft.exchange.peft import TruncatedAdapter


def adapted_weights(unet: nn.Module, loaded: LoadedAdapter) -> dict[str, Tensor]:
    """Return diag(s) W Rᵀ of each layer with a rotation R or magnitudes s."""
    names = dict.fromkeys(name for name, _ in loaded.adapter.named_packed())
    with ExitStack() as stack:
        stack.enter_context(loaded.adapter.merging())
        if loaded.magnitude is not None:
            names |= dict.fromkeys(name for name, _ in loaded.magnitude.named_values())
            stack.enter_context(loaded.magnitude.merging())
        return {name: unet.get_parameter(f"{name}.weight").detach().clone() for name in names}


@torch.no_grad()
def truncated_weights(unet: nn.Module, truncated: TruncatedAdapter) -> dict[str, Tensor]:
    """Return W R̃ᵀ of each layer, for PEFT's truncated products R̃.

    Raises:
        CheckpointError: a layer is unknown, or its blocks do not make up its input.
    """
    check_numbers(truncated.source, truncated.rotations)
    weights = {}
    for name, weight in linear_weights(truncated.source, truncated.rotations, unet).items():
        try:
            rotated = rotate_weight(weight, truncated.rotations[name])
            weights[name] = rotated.view_as(unet.get_parameter(f"{name}.weight"))
        except ValueError as fault:
            raise CheckpointError(
                f"{truncated.source}: {name!r}: {fault}; use the base it was trained on"
            ) from fault
    return weights
