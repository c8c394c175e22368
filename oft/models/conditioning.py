"""Conditioning images as the hint encoder reads them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from oft.pictures import decode_rgb


def picture_tensor(encoded: Iterable[bytes]) -> UInt8[Tensor, "n 3 height width"]:
    """Return encoded pictures of one size."""
    return torch.from_numpy(np.stack([decode_rgb(data) for data in encoded])).permute(0, 3, 1, 2)


def scale_conditioning(
    pictures: UInt8[Tensor, "n 3 height width"],
) -> Float32[Tensor, "n 3 height width"]:
    """Return conditioning images as floats in [0, 1], ControlNet's range."""
    return pictures.float() / 255


def conditioning_tensor(encoded: Iterable[bytes]) -> Float32[Tensor, "n 3 height width"]:
    """Return encoded conditioning images as floats in [0, 1]."""
    return scale_conditioning(picture_tensor(encoded))
