"""OFT that turns the outputs of layers: sd-scripts' first ``networks.oft`` and LyCORIS' Diag-OFT.

``<layer>.oft_blocks`` ``[k, n, n]`` gives Q = B - Bᵀ and R = (I + Q)(I - Q)⁻¹, and the rows of the weight, k
groups of n, become W' = Rᵀ W (``einsum("k n m, k n ... -> k m ...")`` in both). Both bound ||Q|| of all
blocks together by alpha times the layer's outputs:

- sd-scripts (``oft_unet_...``) always, Q (c + 1e-8) / (||Q|| + 1e-8) with c = min(||Q||, bound);
- LyCORIS (``lora_unet_...``) where alpha is above zero, Q bound / (||Q|| + 1e-8) once that norm exceeds the
  bound; its ``rescale`` ``[out, 1, ...]`` then multiplies the rows.

No rotation of inputs does what one of outputs does, so what is read is exact weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from oft.adapters.oft.rotation import cayley
from oft.errors import CheckpointError
from oft.exchange.foreign import ForeignWeights
from oft.exchange.layer_names import left_out, refuse_strangers, sort_tensors
from oft.weights import check_numbers

BLOCKS, RESCALE, ALPHA = ".oft_blocks", ".rescale", ".alpha"
OLD_NAME = ".oft_diag"
SD_SCRIPTS = "oft_unet_"
ROUNDING = 1e-8


def is_output_side(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict's names are those of OFT on the output side."""
    return any(name.endswith((BLOCKS, OLD_NAME)) for name in tensors)


@torch.no_grad()
def read_output_side(
    source: Path, tensors: Mapping[str, Tensor], unet: nn.Module, *, allow_error: bool = False
) -> ForeignWeights:
    """Return the weights that such a file makes of the base's, as its program computes them.

    Args:
        allow_error: leave out a text encoder.

    Raises:
        CheckpointError: a layer is unknown, a shape does not fit it, or the file is of another kind.
    """
    if old := [name for name in tensors if name.endswith(OLD_NAME)]:
        raise CheckpointError(
            f"{source}: {old[0]!r} is of LyCORIS before 2.0, whose releases differ in what it means; merge "
            "the file with the release that made it"
        )
    by_sd_scripts = any(name.startswith(SD_SCRIPTS) for name in tensors)
    named = sort_tensors(tensors, unet, (BLOCKS, RESCALE, ALPHA))
    refuse_strangers(str(source), named, allow_error)
    check_numbers(
        str(source), {f"{n}{s}": value for n, each in named.layers.items() for s, value in each.items()}
    )
    weights = {
        f"{name}.weight": _turn_outputs(source, name, values, unet, by_sd_scripts)
        for name, values in named.layers.items()
    }
    note = (
        "OFT of LyCORIS and of sd-scripts' networks.oft turns the outputs of layers, which no rotation of "
        "inputs equals: what is written are its exact weights, no adapter"
    )
    return ForeignWeights(weights, source.name, (note, *left_out(named)))


def _turn_outputs(
    source: Path, name: str, values: Mapping[str, Tensor], unet: nn.Module, by_sd_scripts: bool
) -> Tensor:
    layer, blocks = unet.get_submodule(name), values.get(BLOCKS)
    if not isinstance(layer, nn.Linear | nn.Conv2d) or blocks is None:
        raise CheckpointError(
            f"{source}: each {BLOCKS} must be of a linear layer or convolution, and {name!r} "
            f"{'has none' if blocks is None else f'is a {type(layer).__name__}'}; copy it again"
        )
    weight = layer.weight.detach()
    if blocks.dim() == 4:
        raise CheckpointError(
            f"{source}: {name!r} has butterfly factors (BOFT); merge the file with the program that made it"
        )
    if blocks.dim() != 3 or blocks.shape[1] != blocks.shape[2] or blocks[..., 0].numel() != len(weight):
        raise CheckpointError(
            f"{source}: {name!r} must have blocks [k, n, n] that make up its {len(weight)} outputs, got "
            f"{tuple(blocks.shape)}; use the base it was trained on"
        )
    skew = blocks.double() - blocks.double().mT
    skew = _bounded(source, name, skew, values.get(ALPHA), len(weight), by_sd_scripts)
    # Rᵀ of R = (I + Q)(I - Q)⁻¹ is our C(Q).
    rows = weight.double().flatten(1).unflatten(0, skew.shape[:2])
    turned = (cayley(skew) @ rows).flatten(0, 1)
    if RESCALE in values and not by_sd_scripts:
        scale = values[RESCALE].double().flatten()
        if len(scale) != len(weight):
            raise CheckpointError(
                f"{source}: {name!r} must have one rescale for each of its {len(weight)} outputs, got "
                f"{len(scale)}; use the base it was trained on"
            )
        turned = turned * scale[:, None]
    return turned.view_as(weight).to(weight.dtype)


def _bounded(
    source: Path, name: str, skew: Tensor, alpha: Tensor | None, outputs: int, by_sd_scripts: bool
) -> Tensor:
    """Return Q within its program's bound on all blocks of a layer together."""
    norm = float(skew.norm())
    if by_sd_scripts:
        if alpha is None:
            raise CheckpointError(
                f"{source}: {name!r} needs its {ALPHA}, which bounds it in sd-scripts; copy it again"
            )
        return skew * ((min(norm, float(alpha) * outputs) + ROUNDING) / (norm + ROUNDING))
    bound = 0.0 if alpha is None else float(alpha) * outputs
    if bound > 0 and norm + ROUNDING > bound:
        return skew * bound / (norm + ROUNDING)
    return skew
