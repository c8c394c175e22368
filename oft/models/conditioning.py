"""Conditioning images as the hint encoder reads them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from oft.data.pictures import decode_rgb


def conditioning_tensor(encoded: Iterable[bytes]) -> Tensor:
    """Return encoded conditioning images as floats [n, 3, h, w] in [0, 1], ControlNet's range."""
    return (
        torch.from_numpy(np.stack([decode_rgb(data) for data in encoded])).permute(0, 3, 1, 2).float() / 255
    )
