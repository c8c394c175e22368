"""Adapters of the paper's reference implementation, github.com/Zeju1997/oft, in both its formats:

- control (``oft-control``): a whole LDM state dict, where an adapted layer X has ``X.R``, its frozen weight
  ``X.OFT.weight`` and, after magnitude fitting, ``X.scaling_factors`` ``[out, 1]``; the hint encoder is
  ``control_model.input_hint_block``;
- subjects and styles (``oft-db``, ``oft-t2i``): diffusers' attention processors,
  ``<attention>.processor.to_q_oft.R`` (to_k, to_v, to_out), in ``oft-t2i`` with COFT's ``oft_eps`` and
  ``oft_is_coft`` beside it.

``R`` is ``[r, b, b]``, or ``[b, b]`` for a shared block, and becomes W' = W Qᵀ with S = (R - Rᵀ) / 2 and
Q = (I - S)(I + S)⁻¹. Two things vary, and no file says which holds: the first commits have the opposite sign
throughout, and of the later ones the shared block of ``oft-control`` has kept it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from oft.adapters.oft.rotation import coft_bound
from oft.errors import CheckpointError, ParamsError
from oft.exchange.foreign import (
    ForeignAdapter,
    check_matrices,
    linear_weights,
    log_scales_from,
    packed_from_matrices,
)
from oft.exchange.ldm import PREFIX, diffusers_name
from oft.exchange.sources import Sign

HINT_BLOCK = re.compile(r"^(?:control_model\.)?input_hint_block\.(\d+)\.(weight|bias)$")
PROCESSOR_LAYER = re.compile(r"^(.+)\.processor\.to_(q|k|v|out)_oft\.R$")
# Weights of one base in fp16 and fp32 differ by 5e-4 of their norm at most, those of two bases by far more.
SAME_BASE_TOLERANCE = 1e-2


def is_reference(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict's names are those of the reference implementation."""
    return any(PROCESSOR_LAYER.match(name) or _is_ldm_rotation(name, tensors) for name in tensors)


def read_reference(
    source: Path,
    tensors: Mapping[str, Tensor],
    unet: nn.Module,
    sign: Sign = "current",
    coft_eps: float | None = None,
) -> ForeignAdapter:
    """Read an adapter of the reference implementation from its state dict.

    Args:
        sign: "early" for checkpoints of its first commits.
        coft_eps: ``--eps`` of a training with ``--coft``, where the file does not record it; None for none.

    Raises:
        CheckpointError: layers are not those of ``unet``, the base is another, or the blocks are of no use.
        ParamsError: ``coft_eps`` is no positive number.
    """
    if coft_eps is not None and not 0 < coft_eps < math.inf:
        raise ParamsError(f"--coft-eps ({coft_eps}) must be a positive number, such as 1e-3")
    if any(PROCESSOR_LAYER.match(name) for name in tensors):
        matrices, scales = _processor_matrices(tensors), {}
        coft_eps = _recorded_eps(source, tensors) if coft_eps is None else coft_eps
        shared_keeps_early_sign = False
    else:
        names = _ldm_layers(source, tensors, unet)
        matrices = {layer: tensors[f"{name}.R"] for name, layer in names.items()}
        scales = _by_layer(names, tensors, "scaling_factors")
        shared_keeps_early_sign = True
        _refuse_another_base(source, _by_layer(names, tensors, "OFT.weight"), unet)
    weights = linear_weights(str(source), matrices, unet)
    check_matrices(str(source), matrices, weights)
    shared = next(iter(matrices.values())).dim() == 2
    flipped = sign == "early" or (shared and shared_keeps_early_sign)
    packed = {}
    for name, weight in weights.items():
        matrix, bound = matrices[name], None
        if coft_eps is not None:
            bound = coft_bound(coft_eps, matrix.shape[-1], weight.shape[1] // matrix.shape[-1], shared)
        packed[name] = packed_from_matrices(matrix, bound) * (-1.0 if flipped else 1.0)
    other = "early" if sign == "current" else "current"
    note = (
        f"read with the Cayley transform of the reference implementation's {sign} code, as no file records "
        f"it; if the pictures are wrong, try --reference {other}"
    )
    return ForeignAdapter(
        source=str(source),
        packed=packed,
        block_share=shared,
        eps=coft_eps,
        log_scales=log_scales_from(str(source), scales) if scales else None,
        hint_encoder=_hint_encoder(tensors),
        notes=(note,),
    )


def _is_ldm_rotation(key: str, tensors: Mapping[str, Tensor]) -> bool:
    frozen = f"{key.removesuffix('.R')}.OFT.weight"
    return key.endswith(".R") and PREFIX.match(key) is not None and frozen in tensors


def _ldm_layers(source: Path, tensors: Mapping[str, Tensor], unet: nn.Module) -> dict[str, str]:
    """Return diffusers' name of each adapted layer by LDM's."""
    layers_per_block = int(getattr(getattr(unet, "config", None), "layers_per_block", 2))
    names = {}
    for key in tensors:
        if _is_ldm_rotation(key, tensors):
            name = key.removesuffix(".R")
            layer = diffusers_name(name, layers_per_block)
            if layer is None or tensors[f"{name}.OFT.weight"].dim() != 2:
                raise CheckpointError(
                    f"{source}: adapted layers must be the linear ones inside transformers, got {name!r}; "
                    "what the reference implementation does to a convolution is no rotation: train it here"
                )
            names[name] = layer
    return names


def _processor_matrices(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    matrices = {}
    for key, value in tensors.items():
        if match := PROCESSOR_LAYER.match(key):
            matrices[f"{match[1]}.to_{match[2]}" + ".0" * (match[2] == "out")] = value
    return matrices


def _recorded_eps(source: Path, tensors: Mapping[str, Tensor]) -> float | None:
    constrained = [value for key, value in tensors.items() if key.endswith("_oft.oft_is_coft")]
    if not constrained or not all(bool(value.all()) for value in constrained):
        return None
    recorded = {
        float(eps)
        for key, value in tensors.items()
        if key.endswith("_oft.oft_eps")
        for eps in value.flatten()
    }
    if len(recorded) != 1:
        raise CheckpointError(
            f"{source}: must record one eps for COFT (oft_eps), got {sorted(recorded) or 'none'}; "
            "name it with --coft-eps"
        )
    return recorded.pop()


def _by_layer(names: Mapping[str, str], tensors: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Return, by diffusers' name, what the file holds under LDM's ``<name>.<what>``."""
    return {layer: tensors[key] for name, layer in names.items() if (key := f"{name}.{what}") in tensors}


def _refuse_another_base(source: Path, weights: Mapping[str, Tensor], unet: nn.Module) -> None:
    for name, ours in linear_weights(str(source), weights, unet).items():
        theirs, ours = weights[name], ours.float().cpu()
        distance = (
            torch.linalg.norm(theirs.float() - ours) / torch.linalg.norm(ours)
            if theirs.shape == ours.shape
            else torch.tensor(torch.inf)
        )
        if not distance <= SAME_BASE_TOLERANCE:
            raise CheckpointError(
                f"{source}: the frozen weights in it must be the base's, and those of {name!r} are not "
                f"(relative distance {distance:.2g}, shape {tuple(theirs.shape)} for {tuple(ours.shape)}); "
                "use the base it was trained on"
            )


def _hint_encoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    # Convolutions at even places of a sequence, SiLU at odd ones.
    state = {
        f"convs.{int(match[1]) // 2}.{match[2]}": value.float()
        for key, value in tensors.items()
        if (match := HINT_BLOCK.match(key))
    }
    return state or None
