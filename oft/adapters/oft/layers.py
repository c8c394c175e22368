"""Frozen linear and convolutional layers under adaptation: y = diag(s) W Rᵀ x + bias.

``oft.adapters.oft.adapting`` turns a ``torch.nn.Linear`` or ``torch.nn.Conv2d`` into its adapted twin by
changing its class in place (the way ``torch.nn.utils.parametrize`` does). The model's tree, parameter names
and state dict stay those of the base; code that looks at ``layer.weight`` or asks ``isinstance(layer,
nn.Linear)``, attention processors of every backend among it, sees the layer it knows. The parameters of R and
s live in the adapters, not here.

A convolution's W is ``[out, in k k]``, its input the unfolded windows: R turns a window's entries, channel by
channel in the order of the weight, and a group's filters are turned among themselves. Blocks of k² entries
are one rotation per input channel (arXiv 2306.07280, appendix D).

Layers, their autograd functions and their rules under autocast stand in one file: each relies on the types
and the order of operations of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from oft.adapters.oft.rotation import (
    compose_rotations,
    rotate_input,
    rotate_weight,
    rotation_gradient,
    without_autocast,
)

Slot = Literal["rotations", "log_scales"]
# What a forward pass turns: the weight, the input, or whichever takes fewer operations.
Application = Literal["auto", "weight", "input"]


@dataclass(eq=False)
class Part:
    """What one adapter contributes to one layer.

    Attributes:
        value: returns the tensor in force (rotations, log-magnitudes), None while the adapter is disabled.
        merged: the part is to be in the layer's weight rather than in its forward pass.
        folded: the layer's weight contains it.
    """

    value: Callable[[], Tensor | None]
    merged: bool = False
    folded: bool = False


class AdaptedLayer(nn.Module):
    """What adapted linear layers and convolutions share: their parts, and the weight with parts folded in.

    Rotations apply in the order of their parts: W R₁ᵀ R₂ᵀ ... Merged or not, the layer computes the same.
    """

    plain_class: ClassVar[type[nn.Module]]

    weight: Tensor
    rotations: list[Part]
    log_scales: list[Part]
    application: Application
    unmerged_weight: Tensor | None

    def update_merged_weight(self) -> None:
        """Make the weight what the parts' ``merged`` flags say; the base's own is kept aside, bit for bit."""
        with _writing_weights(self.weight.device):
            base = self._base_weight()
            weight = self._fold_rotations(base)
            for part in self.log_scales:
                value = part.value() if part.merged else None
                part.folded = value is not None
                if value is not None:
                    weight = scale_rows(weight, value)
            self.weight.data = weight
            self.unmerged_weight = None if weight is base else base

    def may_keep(self, slot: Slot, part: Part) -> bool:
        """Return whether a merged part can stay in the weight without its adapter.

        Of W R₁ᵀ R₂ᵀ, R₂ cannot while R₁ is an adapter's: rotations do not commute.
        """
        parts: list[Part] = getattr(self, slot)
        return slot == "log_scales" or not any(
            earlier.value() is not None for earlier in parts[: parts.index(part)]
        )

    def take_out(self, slot: Slot, part: Part, keep_merged: bool) -> None:
        """Remove a part; if ``keep_merged``, what it has done to the weight becomes the base's own."""
        parts: list[Part] = getattr(self, slot)
        with _writing_weights(self.weight.device):
            value = part.value() if keep_merged and part.merged else None
            if value is not None:
                base = self._base_weight()
                self.unmerged_weight = (
                    self._turn(base, value) if slot == "rotations" else scale_rows(base, value)
                )
            parts.remove(part)
            self.update_merged_weight()

    def _base_weight(self) -> Tensor:
        # The layer may have moved since it was merged; the weight kept aside is no buffer and stayed behind.
        kept = self.weight.data if self.unmerged_weight is None else self.unmerged_weight
        return kept.to(device=self.weight.device, dtype=self.weight.dtype)

    def _fold_rotations(self, weight: Tensor) -> Tensor:
        # Rotations do not commute: one can be in the weight only if all before it are.
        for part in self.rotations:
            part.folded = False
        for part in self.rotations:
            if (value := part.value()) is None:
                continue
            if not part.merged:
                break
            weight, part.folded = self._turn(weight, value), True
        return weight

    def _pending(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the rotations and log-magnitudes that the weight does not contain, each as one tensor."""
        rotations: Tensor | None = None
        for part in self.rotations:
            if part.folded or (value := part.value()) is None:
                continue
            rotations = (
                value if rotations is None else compose_rotations(rotations, value, num_features(self))
            )
        log_scale: Tensor | None = None
        for part in self.log_scales:
            if part.folded or (value := part.value()) is None:
                continue
            log_scale = value if log_scale is None else log_scale + value
        return rotations, log_scale

    def _turn(
        self, weight: Float[Tensor, "out ..."], rotations: Float[Tensor, "blocks b b"]
    ) -> Float[Tensor, "out ..."]:
        return rotate_weight(weight.flatten(1), rotations, num_groups(self)).view_as(weight)


class AdaptedLinear(AdaptedLayer, nn.Linear):
    """``nn.Linear`` whose forward applies the parts of its adapters. Made by ``adapt``, never constructed."""

    plain_class = nn.Linear

    def forward(self, input: Tensor) -> Tensor:
        """Return diag(s) W Rᵀ x + bias, ``[*, out]`` for ``[*, in]``."""
        with without_autocast(input.device):
            rotations, log_scale = self._pending()
        if rotations is None and log_scale is None:
            return F.linear(input, self.weight, self.bias)
        input = as_autocast(input)
        with without_autocast(input.device):
            if log_scale is None:
                assert rotations is not None
                return rotated_linear(input, self.weight, self.bias, rotations, self.application)
            weight = self.weight if rotations is None else rotate_weight(self.weight, rotations)
            return scaled_linear(input, weight, self.bias, log_scale)


class AdaptedConv2d(AdaptedLayer, nn.Conv2d):
    """``nn.Conv2d`` whose forward applies the parts of its adapters. Made by ``adapt``, never constructed."""

    plain_class = nn.Conv2d

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution with diag(s) W Rᵀ, ``[n, out, h', w']`` for ``[n, in, h, w]``."""
        with without_autocast(input.device):
            rotations, log_scale = self._pending()
        if rotations is None and log_scale is None:
            return self._conv_forward(input, self.weight, self.bias)
        input = as_autocast(input)
        with without_autocast(input.device):
            if rotations is not None and log_scale is None and self._by_windows(input):
                return self._on_windows(input, rotations)
            weight: Tensor = self.weight
            if rotations is not None:
                weight = self._turn(weight, rotations)
            if log_scale is not None:
                weight = scale_rows(weight, log_scale)
            return self._conv_forward(input, weight.to(input.dtype), _to(self.bias, input.dtype))

    def _by_windows(self, input: Tensor) -> bool:
        # Unfolding knows zero padding alone, and groups would have to be unfolded one by one.
        if self.groups != 1 or self.padding_mode != "zeros" or isinstance(self.padding, str):
            return False
        positions = input.shape[0] * self._out_height(input) * self._out_width(input)
        return is_pointwise(self) or not turns_weight(positions, self.out_channels, self.application)

    def _on_windows(self, input: Tensor, rotations: Tensor) -> Tensor:
        assert not isinstance(self.padding, str)
        windows = F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)
        # A pointwise convolution is a linear layer, and turns what one would.
        application = self.application if is_pointwise(self) else "input"
        output = rotated_linear(windows.mT, self.weight.flatten(1), self.bias, rotations, application)
        return output.mT.unflatten(-1, (self._out_height(input), self._out_width(input)))

    def _out_height(self, input: Tensor) -> int:
        return self._out_size(input.shape[-2], 0)

    def _out_width(self, input: Tensor) -> int:
        return self._out_size(input.shape[-1], 1)

    def _out_size(self, in_size: int, axis: int) -> int:
        padding = self.padding[axis]
        assert isinstance(padding, int)
        window = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        return (in_size + 2 * padding - window) // self.stride[axis] + 1


def num_features(layer: nn.Module) -> int:
    """Return what R turns: a linear layer's in_features, a convolution's in_channels times its window."""
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
    assert isinstance(layer, nn.Linear)
    return layer.in_features


def num_outputs(layer: nn.Module) -> int:
    """Return how many neurons a layer has: a linear layer's out_features, a convolution's out_channels."""
    if isinstance(layer, nn.Conv2d):
        return layer.out_channels
    assert isinstance(layer, nn.Linear)
    return layer.out_features


def weight_of(layer: nn.Module) -> Tensor:
    """Return the weight of a layer that can be adapted, ``[out, ...]``."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def num_groups(layer: nn.Module) -> int:
    """Return a convolution's groups, 1 for a linear layer; no block of R may lie in two of them."""
    return layer.groups if isinstance(layer, nn.Conv2d) else 1


def is_pointwise(layer: nn.Module) -> bool:
    """Return whether a layer is a convolution that does to each position what a linear layer does."""
    return isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1


def turns_weight(tokens: int, out_features: int, application: Application = "auto") -> bool:
    """Return whether to turn the weight (out x in x b operations) rather than the input (tokens x in x b)."""
    return tokens > out_features if application == "auto" else application == "weight"


def rotated_linear(
    input: Float[Tensor, "*batch in_features"],
    weight: Float[Tensor, "out in_features"],
    bias: Float[Tensor, " out"] | None,
    rotations: Float[Tensor, "blocks b b"],
    application: Application = "auto",
) -> Float[Tensor, "*batch out"]:
    """Return W Rᵀ x + bias, ``[*, out]``; fast where W and bias are frozen, as an adapted base's are."""
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        return F.linear(rotate_input(input, rotations), weight.to(input.dtype), _to(bias, input.dtype))
    tokens = input.numel() // input.shape[-1]
    return _RotatedLinear.apply(
        input, weight, bias, rotations, turns_weight(tokens, weight.shape[0], application)
    )


def scaled_linear(
    input: Float[Tensor, "*batch in_features"],
    weight: Float[Tensor, "out in_features"],
    bias: Float[Tensor, " out"] | None,
    log_scale: Float[Tensor, " out"],
) -> Float[Tensor, "*batch out"]:
    """Return diag(s) W x + bias, ``[*, out]``, with s = exp(log_scale); fast where W and bias are frozen."""
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        return F.linear(input, scale_rows(weight, log_scale).to(input.dtype), _to(bias, input.dtype))
    return _ScaledLinear.apply(input, weight, bias, log_scale)


def scale_rows(
    weight: Float[Tensor, "out ..."], log_scale: Float[Tensor, " out"]
) -> Float[Tensor, "out ..."]:
    """Return diag(s) W in the weight's type, s = exp(log_scale): magnitudes scaled, directions kept."""
    scale = log_scale.exp().reshape(-1, *(1,) * (weight.dim() - 1))
    return (scale * weight).to(weight.dtype)


def as_autocast(input: Tensor) -> Tensor:
    """Return the input in autocast's type, if it is on; layers that read one tensor share one copy of it.

    Autocast itself makes a copy for each layer, and a layer that trains keeps it for the backward pass.
    """
    kind = input.device.type
    if not torch.is_autocast_enabled(kind) or input.dtype == torch.float64:
        return input
    lowered = torch.get_autocast_dtype(kind)
    if input.dtype == lowered:
        return input
    # Only what comes out of a trained graph is worth keeping, and safe: such a tensor is not written to
    # behind its version counter, and its copy does not keep it alive.
    if torch.compiler.is_compiling() or input.grad_fn is None or not torch.is_grad_enabled():
        return input.to(lowered)
    state = (lowered, input._version)
    cached = _LOWERED.get(input)
    if cached is None or cached[0] != state:
        cached = _LOWERED[input] = (state, input.to(lowered))
    return cached[1]


# An entry lives as long as the tensor it was made from.
_LOWERED = WeakIdKeyDictionary()


@contextmanager
def _writing_weights(device: torch.device) -> Iterator[None]:
    """Whatever the caller's mode, the block writes precise, ordinary tensors outside any graph."""
    with torch.inference_mode(False), torch.no_grad(), without_autocast(device):
        yield


def _to(bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if bias is None else bias.to(dtype)


class _RotatedLinear(torch.autograd.Function):
    """y = W Rᵀ x + bias with W and bias frozen, R orthogonal.

    Turning the input: dz = dy W is the product the frozen layer takes anyway, then dx = dz Rᵀ, dRᵢ = xᵢᵀ dzᵢ.
    Turning the weight: dx = dy W' is the product the frozen layer takes anyway, and as dx = dz Rᵀ,
    dRᵢ = (xᵢᵀ dxᵢ) Rᵢ; W' is turned again rather than kept. So per element of x, b operations forward and 2 b
    backward become b in all. No dense dW is formed; x is shared with the layers that read the same one.

    RᵀR = I does not hold beside R: where the gradient is to have one itself, dRᵢ = xᵢᵀ dzᵢ either way.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, rotations: Tensor, turn_weight: bool
    ) -> Tensor:
        ctx.save_for_backward(input if ctx.needs_input_grad[3] else None, weight, rotations)
        ctx.turn_weight = turn_weight
        bias = _to(bias, input.dtype)
        if turn_weight:
            return F.linear(input, rotate_weight(weight, rotations).to(input.dtype), bias)
        return F.linear(rotate_input(input, rotations), weight.to(input.dtype), bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor | None, None]:
        input, weight, rotations = ctx.saved_tensors
        grad_input = grad_rotations = None
        with without_autocast(grad.device):
            if ctx.turn_weight and ctx.needs_input_grad[0] and not torch.is_grad_enabled():
                grad_input = grad @ rotate_weight(weight, rotations).to(grad.dtype)
                if input is not None:
                    grad_rotations = rotation_gradient(input, grad_input, rotations) @ rotations
            else:
                grad_turned = grad @ weight.to(grad.dtype)
                if ctx.needs_input_grad[0]:
                    grad_input = rotate_input(grad_turned, rotations.mT)
                if input is not None:
                    grad_rotations = rotation_gradient(input, grad_turned, rotations)
        return grad_input, None, None, grad_rotations, None


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
