"""A convolution's activation taken apart into the angle and the magnitude it is the product of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

Form = Literal["full", "angle", "magnitude"]
FORMS: tuple[Form, ...] = get_args(Form)


def activate(
    weight: Float[Tensor, "out in kernel kernel"],
    x: Float[Tensor, "n in height width"],
    *,
    stride: int,
    padding: int,
    form: Form,
) -> Float[Tensor, "n out rows columns"]:
    """Return the feature map of a convolution without bias in one form: w·x, cos(w, x) or |w| |x|.

    The angle at a window of zeros, which has none, is given as cos = 0.
    """
    if form == "full":
        return F.conv2d(x, weight, stride=stride, padding=padding)
    magnitude = filter_norms(weight) * window_norms(x, weight.shape[-1], stride=stride, padding=padding)
    if form == "magnitude":
        return magnitude
    product = F.conv2d(x, weight, stride=stride, padding=padding)
    return product / magnitude.clamp_min(torch.finfo(magnitude.dtype).tiny)


def filter_norms(weight: Float[Tensor, "out in kernel kernel"]) -> Float[Tensor, "out 1 1"]:
    """Return |w| of each filter."""
    return torch.linalg.vector_norm(weight, dim=(1, 2, 3))[:, None, None]


def window_norms(
    x: Float[Tensor, "n in height width"], kernel_size: int, *, stride: int, padding: int
) -> Float[Tensor, "n 1 rows columns"]:
    """Return |x| of each window of a convolution's input: the squares summed by a filter of ones."""
    ones = x.new_ones(1, x.shape[1], kernel_size, kernel_size)
    # Fast convolutions may round a sum of squares to slightly below zero.
    return F.conv2d(x.square(), ones, stride=stride, padding=padding).clamp_min(0).sqrt()
