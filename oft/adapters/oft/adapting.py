"""Layers turned into their adapted twins and back, in place."""

from __future__ import annotations

from torch import nn

from oft.adapters.oft.layers import AdaptedConv2d, AdaptedLayer, AdaptedLinear
from oft.adapters.oft.quantized import adapted_class, is_quantized

ADAPTABLE: dict[type[nn.Module], type[AdaptedLayer]] = {nn.Linear: AdaptedLinear, nn.Conv2d: AdaptedConv2d}


def is_adaptable(module: nn.Module) -> bool:
    """Return whether ``adapt`` takes a layer: plain, quantised or adapted, with its class's own forward."""
    is_known = type(module) in ADAPTABLE or isinstance(module, AdaptedLayer)
    return (is_known and "forward" not in vars(module)) or is_quantized(module)


def adapt(layer: nn.Module) -> AdaptedLayer:
    """Turn a layer into its adapted twin, in place, and return it; leave an adapted one as it is."""
    if not isinstance(layer, AdaptedLayer):
        layer.__class__ = adapted_class(type(layer)) if is_quantized(layer) else ADAPTABLE[type(layer)]
        assert isinstance(layer, AdaptedLayer)
        layer.rotations, layer.log_scales = [], []
        layer.application, layer.unmerged_weight = "auto", None
    return layer


def restore(layer: nn.Module) -> None:
    """Turn an adapted layer back into the plain one it was, unless an adapter still has a part in it."""
    assert isinstance(layer, AdaptedLayer)
    if not layer.rotations and not layer.log_scales:
        del layer.rotations, layer.log_scales, layer.application, layer.unmerged_weight
        layer.__class__ = type(layer).plain_class  # type: ignore[assignment]
