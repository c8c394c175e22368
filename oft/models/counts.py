"""How many parameters a method trains on a UNet. Only shapes are read: torch's meta device will do.

OFT's own come from the configuration that adapts real models; LoRA and ControlNet stand beside it as the
methods it is compared with (arXiv 2306.07280, table 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from oft.adapters.hint.encoder import HintEncoder
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.layers import num_features, weight_of
from oft.adapters.oft.targets import find_targets
from oft.errors import ParamsError

if TYPE_CHECKING:
    from diffusers import ControlNetModel, UNet2DConditionModel


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a frozen model and of what is trained beside it.

    Attributes:
        base: the model's own.
        layers: how many of its layers are adapted.
        trained: the trained ones by part.
    """

    base: int
    layers: int
    trained: Mapping[str, int]

    def to_json(self) -> dict[str, int]:
        """Return all numbers in one level, the sum of the trained ones as ``total``."""
        total = sum(self.trained.values())
        return {"layers": self.layers, "base": self.base, **self.trained, "total": total}


def count_parameters(module: nn.Module) -> int:
    """Return the number of scalars in a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_oft(unet: UNet2DConditionModel, config: OFTConfig, *, with_condition: bool) -> ParameterCount:
    """Return the count of OFT, ``rotation``: b(b-1)/2 for each stored block; COFT's is the same.

    Args:
        with_condition: count a hint encoder too.

    Raises:
        ParamsError: a pattern matches no layer, or the blocks do not fit a layer.
    """
    shapes = config.packed_shapes(find_targets(unet, config.target_modules))
    rotation = sum(rows * length for rows, length in shapes.values())
    hint_encoder = _count_hint_encoder(unet) if with_condition else 0
    return ParameterCount(
        count_parameters(unet), len(shapes), {"rotation": rotation, "hint_encoder": hint_encoder}
    )


def count_lora(
    unet: UNet2DConditionModel, target_modules: Sequence[str], rank: int, *, with_condition: bool
) -> ParameterCount:
    """Return the count of LoRA on the same layers, ``lora``: rank (in + out) for each (arXiv 2106.09685).

    Args:
        with_condition: count a hint encoder too.

    Raises:
        ParamsError: a pattern matches no layer, or the rank is less than 1.
    """
    if rank < 1:
        raise ParamsError(f"rank must be at least 1, got {rank}; LoRA's are 4 to 128")
    targets = find_targets(unet, target_modules)
    lora = sum(rank * (num_features(layer) + weight_of(layer).shape[0]) for layer in targets.values())
    hint_encoder = _count_hint_encoder(unet) if with_condition else 0
    return ParameterCount(count_parameters(unet), len(targets), {"lora": lora, "hint_encoder": hint_encoder})


def count_controlnet(unet: UNet2DConditionModel, controlnet: ControlNetModel) -> ParameterCount:
    """Return the count of ControlNet, ``controlnet``: a copy of half the UNet; no layer is adapted."""
    hint_encoder = count_parameters(controlnet.controlnet_cond_embedding)
    copy = count_parameters(controlnet) - hint_encoder
    return ParameterCount(count_parameters(unet), 0, {"controlnet": copy, "hint_encoder": hint_encoder})


def _count_hint_encoder(unet: UNet2DConditionModel) -> int:
    # A real one, not on the meta device, where drawing its weights takes a second to import.
    return count_parameters(
        HintEncoder(out_channels=unet.config.block_out_channels[0], generator=torch.Generator())
    )
