"""Quantised linear layers under adaptation: y = diag(s) (q(Rᵀ x) - bias) + bias, q the layer as it is.

W Rᵀ x is W (Rᵀ x): the input side needs no dense weight, so whatever computes W x can be adapted, such as
bitsandbytes' 4- and 8-bit layers and ``torch.nn.Linear`` over torchao's weights. Nothing can be merged.
"""

from __future__ import annotations

from torch import Tensor, nn

from oft.adapters.oft.layers import AdaptedLayer, as_autocast
from oft.adapters.oft.rotation import rotate_input, without_autocast
from oft.errors import ParamsError


def is_quantized(layer: nn.Module) -> bool:
    """Return whether a linear layer's weight is no plain matrix of floats, and its forward its class's own.

    A subclass of ``torch.nn.Linear`` over plain floats is none: who it belongs to may read its weight and
    never call it, as ``torch.nn.MultiheadAttention`` does.
    """
    if not isinstance(layer, nn.Linear) or isinstance(layer, AdaptedLayer) or "forward" in vars(layer):
        return False
    weight = layer.weight
    return not weight.is_floating_point() or type(weight.data) is not Tensor


class AdaptedQuantized(AdaptedLayer):
    """A quantised layer whose forward applies the parts of its adapters to its input and its output."""

    def update_merged_weight(self) -> None:
        """Leave the weight as it is.

        Raises:
            ParamsError: a part is to be merged.
        """
        if any(part.merged for part in (*self.rotations, *self.log_scales)):
            raise ParamsError(
                f"a {self.plain_class.__name__} keeps its weight quantised, and a rotation of it would have "
                "to be rounded; merge the adapter into the base as it was before it was quantised"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Return diag(s) W Rᵀ x + bias, ``[*, out]`` for ``[*, in]``; W is what the layer multiplies by."""
        with without_autocast(input.device):
            rotations, log_scale = self._pending()
        if rotations is not None:
            input = as_autocast(input)
            with without_autocast(input.device):
                input = rotate_input(input, rotations)
        output: Tensor = super().forward(input)
        if log_scale is None:
            return output
        with without_autocast(output.device):
            bias = getattr(self, "bias", None)
            unbiased = output if bias is None else output - bias.to(output.dtype)
            scaled = unbiased * log_scale.exp().to(output.dtype)
            return scaled if bias is None else scaled + bias.to(output.dtype)


_CLASSES: dict[type[nn.Module], type[AdaptedQuantized]] = {}


def adapted_class(plain: type[nn.Module]) -> type[AdaptedQuantized]:
    """Return the adapted twin of a class of quantised layers, always the same one."""
    if plain not in _CLASSES:
        contents = {"plain_class": plain, "__module__": __name__}
        _CLASSES[plain] = type(f"Adapted{plain.__name__}", (AdaptedQuantized, plain), contents)
    return _CLASSES[plain]
