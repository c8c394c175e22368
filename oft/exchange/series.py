"""Rotations in a file for programs that compute them by five terms of a series: kohya's and OneTrainer's.

``lora_unet_<layer with underscores>.oft_R.weight`` is the packed upper triangle of Q, ``[r, b(b-1)/2]``, as
in PEFT. A linear layer's input becomes x F(Q), so its weight W F(Q)ᵀ = W F(-Q); a convolution's weight,
viewed ``[out, in k k]``, becomes W F(Q), the other way round (``OFTv2Module._rotate_conv_weight`` of
sd-scripts, ``OFTModule.forward`` of OneTrainer). Block sizes follow from the shapes; one row is one
block for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.adapters.oft.layers import weight_of
from oft.adapters.oft.rotation import cayley, packed_from_skew, rotate_weight, skew_from_packed
from oft.adapters.tensors import write_tensors
from oft.errors import ParamsError
from oft.exchange.delta import PREFIX
from oft.exchange.fitting import NUM_TERMS, block_grams, fit_series, squared_norms
from oft.exchange.formats.format import MAX_ERROR, Export
from oft.exchange.neumann import neumann_series
from oft.progress import count

SUFFIX = ".oft_R.weight"


def stored_sign(layer: nn.Module) -> float:
    """Return what Q is of P, where the layer's weight becomes W F(P): see above."""
    return 1.0 if isinstance(layer, nn.Conv2d) else -1.0


def has_plain_windows(layer: nn.Module) -> bool:
    """Return whether both programs take a layer's weight as ours: no groups, no dilation."""
    return not isinstance(layer, nn.Conv2d) or (layer.groups == 1 and max(layer.dilation) == 1)


@torch.no_grad()
def write_series(
    export: Export, program: str, reads: Callable[[nn.Module, str], bool], metadata: Mapping[str, str]
) -> list[str]:
    """Fit an adapter's rotations to the series, write them, and return what the user should know.

    Args:
        program: who reads the file, for messages.
        reads: whether that program adapts a layer of the UNet, by name.
        metadata: further entries for the file's.

    Raises:
        ParamsError: the adapter is not of rotations, or more of its effect would be lost than is allowed.
    """
    adapter = export.adapter
    if not isinstance(adapter, OrthogonalAdapter):
        raise ParamsError(
            f"{export.folder}: {program} reads rotations, and this adapter is of method {adapter.method}; "
            "give an adapter of method oft (oft import makes one of PEFT's OFT), or --format lora or delta"
        )
    tensors: dict[str, Tensor] = {}
    changed: dict[str, Tensor] = {}
    unread: list[str] = []
    missed = effect = 0.0
    for name, packed in count(adapter.rotations.named_packed(), "fitting the series", "layers"):
        layer = adapter.unet.get_submodule(name)
        weight = weight_of(layer).flatten(1)
        skew = skew_from_packed(packed.detach() * export.options.strength)
        fit = fit_series(weight, skew)
        effect += fit.effect
        if not has_plain_windows(layer) or not reads(adapter.unet, name):
            unread.append(name)
            missed += fit.effect
            continue
        sign = stored_sign(layer)
        written = packed_from_skew(sign * fit.skew).to(export.dtype)
        factor = neumann_series(sign * skew_from_packed(written.double()), NUM_TERMS)
        grams = block_grams(weight, len(packed), skew.shape[-1])
        missed += float(squared_norms(grams, factor - cayley(-skew.double())).sum())
        tensors[f"{PREFIX}{name.replace('.', '_')}{SUFFIX}"] = written
        changed[name] = rotate_weight(weight.double(), factor.mT)
    error = math.sqrt(missed / effect) if effect else 0.0
    if error > MAX_ERROR and not export.options.allow_error:
        raise ParamsError(
            f"{export.folder}: {program} computes rotations by a series of {NUM_TERMS} terms, in which this "
            f"adapter loses {error:.2g} of its effect{_unread_text(unread)}, and {MAX_ERROR:g} is allowed; "
            "give --allow-error to write it all the same, --strength to turn less, or --format lora or "
            "delta, which have no series"
        )
    write_tensors(export.target, tensors, {**export.metadata, **metadata})
    notes = [
        f"{program} computes rotations by a series of {NUM_TERMS} terms; fitted to it, the weights differ "
        f"from the rotated ones by {error:.2g} of the adapter's effect{_unread_text(unread)}"
    ]
    if adapter.magnitude is not None:
        notes.append(
            f"{program} has no magnitudes: the adapter's are left out, and without them the weights differ "
            f"from its own by {_distance(adapter, changed):.2g} of its effect"
        )
    return notes + adapter.lost_by_merging()


def _unread_text(unread: list[str]) -> str:
    if not unread:
        return ""
    return f" ({len(unread)} layers that it does not adapt are left out, {unread[0]} among them)"


def _distance(adapter: OrthogonalAdapter, changed: Mapping[str, Tensor]) -> float:
    """Return how far ``changed``, weights by layer name, are from the adapter's own, magnitudes included."""
    missed = effect = 0.0
    for name, merged in adapter.merged_values().items():
        layer = name.removesuffix(".weight")
        own = weight_of(adapter.unet.get_submodule(layer)).double().flatten(1)
        wanted = merged.double().flatten(1)
        missed += float((changed.get(layer, own) - wanted).square().sum())
        effect += float((wanted - own).square().sum())
    return math.sqrt(missed / effect) if effect else 0.0
