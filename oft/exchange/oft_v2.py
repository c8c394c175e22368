"""Files of sd-scripts' ``networks.oft_v2`` and OneTrainer's OFT (v2): rotations by a cut-off series.

See ``oft.exchange.series`` for the layout. Layers are called ``lora_unet_<with underscores>``,
``unet.<with dots>`` (OMI, as sd-scripts reads it) or ``unet.<the Latent Diffusion name>`` (OMI, as OneTrainer
writes it). A tensor ``.oft_R.scaled_oft`` says that Q is the stored one over a factor: 2 √(b - 1) in
OneTrainer today, √(b (b - 1) / 2) in its first releases with scaled OFT; no file says which.

The rotation taken, C(-Q), is the one that the series approximates, and the nearest to it: F(Q) =
C(-Q) (I - Q⁴) is its polar decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from oft.adapters.oft.rotation import block_size_of, cayley, packed_from_skew, rotate_weight, skew_from_packed
from oft.errors import CheckpointError
from oft.exchange.fitting import NUM_TERMS, block_grams, squared_norms
from oft.exchange.foreign import ForeignAdapter, ForeignWeights, check_packed, linear_weights
from oft.exchange.formats.format import MAX_ERROR
from oft.exchange.layer_names import Named, is_prefixed, left_out, refuse_strangers, sort_tensors
from oft.exchange.neumann import neumann_series
from oft.exchange.series import SUFFIX, has_plain_windows, stored_sign
from oft.exchange.sources import ScaledBy
from oft.weights import first_names

SCALED_SUFFIX = ".oft_R.scaled_oft"
SUFFIXES = (SUFFIX, SCALED_SUFFIX, ".alpha")
MAGNITUDES = (".dora_scale", ".dora_multiplier", ".dora_log_multiplier")
PEFT_NAMES = "base_model.model."


def is_oft_v2(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict's names are those of sd-scripts' or OneTrainer's files."""
    return any(name.endswith(SUFFIX) for name in tensors) and all(
        is_prefixed(name) and PEFT_NAMES not in name for name in tensors
    )


@torch.no_grad()
def read_oft_v2(
    source: Path,
    tensors: Mapping[str, Tensor],
    unet: nn.Module,
    *,
    product: bool = False,
    allow_error: bool = False,
    scaled_by: ScaledBy = "block",
) -> ForeignAdapter | ForeignWeights:
    """Read such a file as exact rotations, or as the weights that its program makes of it.

    Args:
        product: return the weights under the series itself, no rotation.
        allow_error: take exact rotations even if the weights then differ by more than ``MAX_ERROR`` of the
            file's effect, and leave out a text encoder.
        scaled_by: the factor of scaled OFT.

    Raises:
        CheckpointError: a layer is unknown, a shape odd, or more would be lost than is allowed.
    """
    named = sort_tensors(tensors, unet, SUFFIXES)
    _refuse_odd(source, named, allow_error)
    check_packed(str(source), {name: values[SUFFIX] for name, values in named.layers.items()})
    skews, scaled = {}, False
    for name, values in named.layers.items():
        packed = values[SUFFIX].double()
        if SCALED_SUFFIX in values:
            scaled = True
            packed = packed / scale_factor(block_size_of(packed), scaled_by)
        skews[name] = skew_from_packed(packed)
    weights = linear_weights(str(source), skews, unet, kernels=True)
    shared = _is_shared(source, skews, weights)
    changed: dict[str, Tensor] = {}
    packed_of: dict[str, Tensor] = {}
    missed = effect = 0.0
    for name, weight in weights.items():
        layer = unet.get_submodule(name)
        if not has_plain_windows(layer):
            raise CheckpointError(f"{source}: {name!r} has groups or dilation, which no OFT file can turn")
        fitted = stored_sign(layer) * skews[name]  # the weight becomes W F(P)
        factor = neumann_series(fitted, NUM_TERMS)
        exact = cayley(-fitted)
        grams = block_grams(weight, len(fitted), fitted.shape[-1])
        identity = torch.eye(fitted.shape[-1], dtype=fitted.dtype)
        missed += float(squared_norms(grams, factor - exact).sum())
        effect += float(squared_norms(grams, factor - identity).sum())
        packed_of[name] = packed_from_skew(fitted).float()
        if product:
            parameter = unet.get_parameter(f"{name}.weight")
            changed[f"{name}.weight"] = rotate_weight(weight, factor.mT.float()).view_as(parameter)
    error = math.sqrt(missed / effect) if effect else 0.0
    notes = [_scale_note(scaled_by)] if scaled else []
    notes += left_out(named)
    measured = (
        f"the file's rotations are a series of {NUM_TERMS} terms; the exact rotations nearest to them differ "
        f"by {error:.2g} of its effect on the weights"
    )
    if product:
        kept = f"{measured}; the weights are merged with the series as it is: no adapter, and no rotation"
        return ForeignWeights(changed, source.name, (*notes, kept))
    if error > MAX_ERROR and not allow_error:
        raise CheckpointError(
            f"{source}: {measured}, and {MAX_ERROR:g} is allowed; give --allow-error to take them all the "
            "same, or --cayley neumann for the weights themselves"
        )
    return ForeignAdapter(
        source=str(source),
        packed=packed_of,
        block_share=shared,
        blocks_by="block_size",
        kernels=True,
        notes=(*notes, measured),
    )


def scale_factor(block_size: int, scaled_by: ScaledBy) -> float:
    """Return what scaled OFT divides its stored values by."""
    if scaled_by == "block":
        return 2.0 * math.sqrt(block_size - 1)
    return math.sqrt(block_size * (block_size - 1) / 2)


def _scale_note(scaled_by: ScaledBy) -> str:
    other = "entries" if scaled_by == "block" else "block"
    return (
        f"the file is of scaled OFT, read with the factor --scaled-by {scaled_by}, as no file records it; if "
        f"the pictures are wrong, try --scaled-by {other}"
    )


def _refuse_odd(source: Path, named: Named, allow_error: bool) -> None:
    magnitudes = [name for name in named.unknown if name.endswith(MAGNITUDES)]
    if magnitudes:
        raise CheckpointError(
            f"{source}: rotations with DoRA's magnitudes ({first_names(magnitudes)}) are no format of "
            "OneTrainer's or sd-scripts' own; merge it with the program that made it"
        )
    refuse_strangers(str(source), named, allow_error)
    lacking = [name for name, values in named.layers.items() if SUFFIX not in values]
    if lacking:
        raise CheckpointError(
            f"{source}: each layer needs its {SUFFIX}, and {first_names(lacking)} has none; copy it again"
        )


def _is_shared(source: Path, skews: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> bool:
    """Return whether one block serves each layer: one row where more would fit, as sd-scripts infers it."""
    counts = {name: weights[name].shape[1] // value.shape[-1] for name, value in skews.items()}
    shared = [name for name, value in skews.items() if len(value) == 1 < counts[name]]
    single = [name for name in skews if counts[name] == 1]
    if shared and len(shared) + len(single) < len(skews):
        raise CheckpointError(
            f"{source}: all layers must share one block each, or none, and {first_names(shared)} do among "
            "others that do not; train it again"
        )
    return bool(shared)
