"""What other programs do to a UNet with their files, typed anew from their code; no function of ours."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def their_rotations(packed: Tensor) -> Tensor:
    """Five terms of the series, as sd-scripts (``_cayley_batch``) and OneTrainer sum them."""
    size = next(b for b in range(2, 5000) if b * (b - 1) // 2 == packed.shape[1])
    rows, columns = torch.triu_indices(size, size, 1)
    upper = torch.zeros(len(packed), size, size, dtype=packed.dtype)
    upper[:, rows, columns] = packed
    skew = upper - upper.transpose(-2, -1)
    squared = torch.bmm(skew, skew)
    cubed = torch.bmm(squared, skew)
    return torch.eye(size, dtype=packed.dtype) + 2 * skew + 2 * squared + 2 * cubed + torch.bmm(cubed, skew)


def with_oft_v2(unet: Any, tensors: Mapping[str, Tensor], scale: float = 1.0) -> Any:
    """A copy of the UNet as sd-scripts and OneTrainer run it: linear inputs and convolutions' weights turned.

    Args:
        scale: what stored values are divided by (scaled OFT).
    """
    unet = copy.deepcopy(unet)
    layers = {name.replace(".", "_"): layer for name, layer in unet.named_modules()}
    for key, packed in tensors.items():
        layer = layers[key.removeprefix("lora_unet_").removesuffix(".oft_R.weight")]
        rotation = their_rotations(packed.float() / scale)
        if isinstance(layer, nn.Linear):
            layer.register_forward_pre_hook(_turn_input(rotation))
        else:
            layer.weight.data = _turn_kernel(layer.weight.data, rotation)
    return unet


def _turn_input(rotation: Tensor) -> Any:
    def hook(layer: nn.Linear, inputs: tuple[Tensor]) -> Tensor:
        blocks = rotation.repeat(layer.in_features // (len(rotation) * rotation.shape[-1]), 1, 1)
        by_block = inputs[0].reshape(*inputs[0].shape[:-1], len(blocks), -1)
        return torch.einsum("...rk,rkc->...rc", by_block, blocks).reshape(inputs[0].shape)

    return hook


def _turn_kernel(weight: Tensor, rotation: Tensor) -> Tensor:
    blocks = rotation.repeat(weight[0].numel() // (len(rotation) * rotation.shape[-1]), 1, 1)
    by_block = weight.reshape(len(weight), len(blocks), -1)
    return torch.einsum("ork,rkc->orc", by_block, blocks).reshape(weight.shape)


def oft_v2_weight(layer: nn.Module, packed: Tensor) -> Tensor:
    """The weight that merging makes there."""
    weight: Any = layer.weight
    rotation = their_rotations(packed.double())
    if isinstance(layer, nn.Linear):
        rotation = rotation.transpose(-2, -1)
    return _turn_kernel(weight.detach().double(), rotation)


def kohya_output_side(weight: Tensor, blocks: Tensor, alpha: float) -> Tensor:
    """networks/oft.py: ``OFTModule.get_weight`` and ``merge_to``."""
    weight = weight.double()
    skew = blocks.double() - blocks.double().transpose(1, 2)
    norm = torch.norm(skew.flatten())
    bounded = torch.clamp(norm, max=alpha * len(weight))
    skew = skew * ((bounded + 1e-8) / (norm + 1e-8))
    one = torch.eye(skew.shape[-1], dtype=skew.dtype)
    rotation = torch.matmul(one + skew, (one - skew).inverse())
    by_block = weight.reshape(len(blocks), blocks.shape[1], -1)
    return torch.einsum("knm,kn...->km...", rotation, by_block).reshape(weight.shape)


def lycoris_output_side(weight: Tensor, blocks: Tensor, alpha: float, rescale: Tensor | None) -> Tensor:
    """lycoris/modules/diag_oft.py: ``get_r`` and ``make_weight``."""
    weight = weight.double()
    skew = blocks.double() - blocks.double().transpose(1, 2)
    constraint = alpha * len(weight)
    if constraint > 0:
        norm = torch.norm(skew) + 1e-8
        if norm > constraint:
            skew = skew * constraint / norm
    one = torch.eye(skew.shape[-1], dtype=skew.dtype)
    rotation = (one + skew) @ (one - skew).inverse()
    by_block = weight.reshape(len(blocks), blocks.shape[1], *weight.shape[1:])
    turned = torch.einsum("knm,kn...->km...", rotation, by_block).reshape(weight.shape)
    return turned if rescale is None else rescale.double() * turned


def hint_features(state: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """ControlNet's encoder by its published layout: eight convolutions, three of them of stride 2."""
    features = images
    for index in range(8):
        if index:
            features = F.silu(features)
        stride = 2 if index in (2, 4, 6) else 1
        weight, bias = state[f"convs.{index}.weight"], state[f"convs.{index}.bias"]
        features = F.conv2d(features, weight, bias, stride=stride, padding=1)
    return features


SCALES = {
    "block": lambda size: 2 * math.sqrt(size - 1),
    "entries": lambda size: (size * (size - 1) / 2) ** 0.5,
}
"""What OneTrainer divides by in scaled OFT, today and in the first releases with it."""
