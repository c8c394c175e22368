"""A frozen linear layer under adaptation: y = diag(s) W Rᵀ x + bias, each of R and s optional.

``adapt`` turns a ``torch.nn.Linear`` into an ``AdaptedLinear`` by changing its class in place (the way
``torch.nn.utils.parametrize`` does). The model's tree, parameter names and state dict stay those of the base;
code that looks at ``layer.weight`` or asks ``isinstance(layer, nn.Linear)``, attention processors of every
backend among it, sees the layer it knows. The parameters of R and s live in the adapters, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from oft.adapters.rotation import rotate_input, rotate_weight, rotation_gradient, without_autocast

Slot = Literal["rotation", "log_scale"]


@dataclass(eq=False)
class Part:
    """What one adapter contributes to one layer.

    Attributes:
        value: returns the tensor in force (rotations, log-magnitudes), None while the adapter is disabled.
        merged: the layer's weight already contains the part.
    """

    value: Callable[[], Tensor | None]
    merged: bool = False

    def active(self) -> Tensor | None:
        """Return what the forward pass has to apply, None where there is nothing."""
        return None if self.merged else self.value()


class AdaptedLinear(nn.Linear):
    """``nn.Linear`` whose forward applies the parts of its adapters. Made by ``adapt``, never constructed."""

    rotation: Part | None
    log_scale: Part | None
    unmerged_weight: Tensor | None

    def forward(self, input: Tensor) -> Tensor:
        """Return diag(s) W Rᵀ x + bias, ``[*, out]`` for ``[*, in]``."""
        rotations = self.rotation.active() if self.rotation else None
        log_scale = self.log_scale.active() if self.log_scale else None
        if rotations is None and log_scale is None:
            return F.linear(input, self.weight, self.bias)
        if torch.is_autocast_enabled(input.device.type):
            input = input.to(torch.get_autocast_dtype(input.device.type))
        with without_autocast(input.device):
            if log_scale is None:
                assert rotations is not None
                return rotated_linear(input, self.weight, self.bias, rotations)
            weight = self.weight if rotations is None else rotate_weight(self.weight, rotations)
            return scaled_linear(input, weight, self.bias, log_scale)

    @torch.no_grad()
    def update_merged_weight(self) -> None:
        """Make the weight what the parts' ``merged`` flags say; the base's own is kept aside, bit for bit."""
        base = self._base_weight()
        weight = self._merged("log_scale", self._merged("rotation", base))
        self.weight.data = weight
        self.unmerged_weight = None if weight is base else base

    @torch.no_grad()
    def take_out(self, slot: Slot, keep_merged: bool) -> None:
        """Empty a slot; if ``keep_merged``, what the part has done to the weight becomes the base's own."""
        if keep_merged:
            self.unmerged_weight = self._merged(slot, self._base_weight())
        setattr(self, slot, None)
        self.update_merged_weight()

    def _base_weight(self) -> Tensor:
        # The layer may have moved since it was merged; the weight kept aside is no buffer and stayed behind.
        kept = self.weight.data if self.unmerged_weight is None else self.unmerged_weight
        return kept.to(device=self.weight.device, dtype=self.weight.dtype)

    def _merged(self, slot: Slot, weight: Tensor) -> Tensor:
        part: Part | None = getattr(self, slot)
        if part is None or not part.merged or (value := part.value()) is None:
            return weight
        return rotate_weight(weight, value) if slot == "rotation" else scale_rows(weight, value)


def adapt(linear: nn.Linear) -> AdaptedLinear:
    """Turn a linear layer into an adapted one, in place, and return it; leave an adapted one as it is."""
    if not isinstance(linear, AdaptedLinear):
        linear.__class__ = AdaptedLinear
        assert isinstance(linear, AdaptedLinear)
        linear.rotation = linear.log_scale = linear.unmerged_weight = None
    return linear


def restore(linear: AdaptedLinear) -> None:
    """Turn an adapted layer back into the plain one it was, unless an adapter still has a part in it."""
    if linear.rotation is None and linear.log_scale is None:
        del linear.rotation, linear.log_scale, linear.unmerged_weight
        linear.__class__ = nn.Linear  # type: ignore[assignment]


def weight_side(tokens: int, out_features: int) -> bool:
    """Return whether the weight (out x in x b) is cheaper to rotate than the input (tokens x in x b)."""
    return tokens > out_features


def rotated_linear(input: Tensor, weight: Tensor, bias: Tensor | None, rotations: Tensor) -> Tensor:
    """Return W Rᵀ x + bias, ``[*, out]``; fast where W and bias are frozen, as an adapted base's are."""
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        return F.linear(rotate_input(input, rotations), weight.to(input.dtype), _to(bias, input.dtype))
    return _RotatedLinear.apply(input, weight, bias, rotations)


def scaled_linear(input: Tensor, weight: Tensor, bias: Tensor | None, log_scale: Tensor) -> Tensor:
    """Return diag(s) W x + bias, ``[*, out]``, with s = exp(log_scale); fast where W and bias are frozen."""
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        return F.linear(input, scale_rows(weight, log_scale).to(input.dtype), _to(bias, input.dtype))
    return _ScaledLinear.apply(input, weight, bias, log_scale)


def scale_rows(weight: Tensor, log_scale: Tensor) -> Tensor:
    """Return diag(s) W in the weight's type, s = exp(log_scale): magnitudes scaled, directions kept."""
    return (log_scale.exp().unsqueeze(-1) * weight).to(weight.dtype)


def _to(bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if bias is None else bias.to(dtype)


class _RotatedLinear(torch.autograd.Function):
    """y = W Rᵀ x + bias with W and bias frozen.

    Forward rotates the smaller of weight and input. Backward is the same for both: dz = dy W is the product
    the frozen layer takes anyway, then dx = dz Rᵀ and dRᵢ = xᵢᵀ dzᵢ. No dense dW is formed, and neither the
    rotated weight nor the rotated input is kept; x is shared with the layers that read the same one.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, rotations: Tensor) -> Tensor:
        ctx.save_for_backward(input if ctx.needs_input_grad[3] else None, weight, rotations)
        bias = _to(bias, input.dtype)
        if weight_side(input.numel() // input.shape[-1], weight.shape[0]):
            return F.linear(input, rotate_weight(weight, rotations).to(input.dtype), bias)
        return F.linear(rotate_input(input, rotations), weight.to(input.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor | None]:
        input, weight, rotations = ctx.saved_tensors
        with without_autocast(grad.device):
            grad_rotated = grad @ weight.to(grad.dtype)
            grad_input = rotate_input(grad_rotated, rotations.mT) if ctx.needs_input_grad[0] else None
            grad_rotations = rotation_gradient(input, grad_rotated, rotations) if input is not None else None
        return grad_input, None, None, grad_rotations


class _ScaledLinear(torch.autograd.Function):
    """y = diag(s) W x + bias with s = exp(log_scale) and W, bias frozen; the output serves its own gradient.

    ds/dlog s = s, so d log sⱼ = Σₜ dyₜⱼ (yₜⱼ - biasⱼ): no dense dW and no x kept.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, log_scale: Tensor) -> Tensor:
        output = F.linear(input, scale_rows(weight, log_scale).to(input.dtype), _to(bias, input.dtype))
        ctx.save_for_backward(output, weight, bias, log_scale)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor]:
        output, weight, bias, log_scale = ctx.saved_tensors
        with without_autocast(grad.device):
            grad_input = None
            if ctx.needs_input_grad[0]:
                grad_input = grad @ scale_rows(weight, log_scale).to(grad.dtype)
            unbiased = output if bias is None else output - bias.to(output.dtype)
            by_token = (grad * unbiased).reshape(-1, grad.shape[-1])
            grad_log_scale = by_token.sum(0, dtype=log_scale.dtype)
        return grad_input, None, None, grad_log_scale
