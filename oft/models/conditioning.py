"""Conditioning images as the hint encoder reads them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from oft.pictures import decode_rgb


def picture_tensor(encoded: Iterable[bytes]) -> Tensor:
    """Return encoded pictures of one size, uint8 [n, 3, h, w]."""
    return torch.from_numpy(np.stack([decode_rgb(data) for data in encoded])).permute(0, 3, 1, 2)


def scale_conditioning(pictures: Tensor) -> Tensor:
    """Return conditioning images uint8 [n, 3, h, w] as floats in [0, 1], ControlNet's range."""
    return pictures.float() / 255


def conditioning_tensor(encoded: Iterable[bytes]) -> Tensor:
    """Return encoded conditioning images as floats [n, 3, h, w] in [0, 1]."""
    return scale_conditioning(picture_tensor(encoded))
