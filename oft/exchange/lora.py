"""A change of weights as a LoRA that stock diffusers loads: ``unet.<layer>.lora_A.weight``, ``lora_B``.

diffusers adds B A to a layer's weight, without a factor where the file has no alphas. Ranks may differ from
layer to layer; then the file's metadata says so too, as releases before 0.42 would take one layer's rank for
the scale of all (``lora_adapter_metadata``, which ``save_lora_weights`` writes as well).

Of a convolution, A is ``[rank, in, height, width]`` and B ``[out, rank, 1, 1]``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from oft.exchange.low_rank import low_rank_factors
from oft.progress import count

PART = "unet"
METADATA_KEY = "lora_adapter_metadata"


@dataclass(frozen=True)
class Lora:
    """A LoRA's tensors by their names in diffusers' file, and how near it is to the change.

    Attributes:
        ranks: of each layer.
        kept: the share of the change's squared norm that is in the tensors as they are, rounded.
        error: the norm of what is missing, over that of the change.
        lost: the parameters whose change no LoRA can have (biases, norms).
    """

    tensors: dict[str, Tensor]
    ranks: dict[str, int]
    kept: float
    error: float
    lost: list[str]


@torch.no_grad()
def make_lora(
    unet: nn.Module,
    weights: Mapping[str, Tensor],
    dtype: torch.dtype,
    rank: int | None,
    energy: float | None,
) -> Lora:
    """Return the low-rank factors of what ``weights``, by parameter name, add to those of ``unet``.

    Args:
        rank, energy: see ``low_rank_factors``.
    """
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    lost: list[str] = []
    total = missing = 0.0
    for name, weight in count(weights.items(), "low-rank factors", "layers", len(weights)):
        change = weight.double() - unet.get_parameter(name).detach().double()
        size = float(change.square().sum())
        total += size
        if size == 0.0:
            continue
        layer = _layer_of(unet, name)
        if layer is None:
            missing += size
            lost.append(name)
            continue
        factors = low_rank_factors(change.flatten(1), rank, energy)
        up, down = factors.up.to(dtype), factors.down.to(dtype)
        missing += float((change.flatten(1) - up.double() @ down.double()).square().sum())
        own = name.removesuffix(".weight")
        ranks[own] = down.shape[0]
        is_kernel = change.dim() == 4
        tensors[f"{PART}.{own}.lora_A.weight"] = down.unflatten(1, change.shape[1:]) if is_kernel else down
        tensors[f"{PART}.{own}.lora_B.weight"] = up[..., None, None] if is_kernel else up
    share = missing / total if total else 0.0
    return Lora(tensors, ranks, 1.0 - share, math.sqrt(share), lost)


def rank_metadata(ranks: Mapping[str, int]) -> dict[str, str]:
    """Return the entry of the file's metadata that says each layer's rank; none where all are equal."""
    if len(set(ranks.values())) < 2:
        return {}
    common = Counter(ranks.values()).most_common(1)[0][0]
    others = {f"^{name}": rank for name, rank in sorted(ranks.items()) if rank != common}
    config = {
        "r": common,
        "lora_alpha": common,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(ranks),
    }
    return {METADATA_KEY: json.dumps({f"{PART}.{key}": value for key, value in config.items()})}


def _layer_of(unet: nn.Module, parameter: str) -> nn.Module | None:
    """Return the layer whose weight the parameter is, if a LoRA can change it."""
    name, _, kind = parameter.rpartition(".")
    layer = unet.get_submodule(name)
    if kind != "weight" or not isinstance(layer, nn.Linear | nn.Conv2d):
        return None
    return None if isinstance(layer, nn.Conv2d) and layer.groups != 1 else layer
