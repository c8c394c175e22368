"""Magnitude fitting: after OFT, one positive scale per neuron of the same layers, everything else frozen.

W'' = diag(s) W' (arXiv 2306.07280, the magnitude-fitted variant); the bias is not scaled. Positive by
construction: the parameter is log s, zero at first, so that s = exp(0) = 1 exactly, and near 1 a step in log
s is a step in s.

    magnitude = inject_magnitude(unet, UNET_CONTROL_TARGETS)
    optimizer = torch.optim.AdamW(magnitude.adapter_parameters(), lr=1e-5)

It works over an OFT adapter as it is, and costs less over a merged one (``oft_adapter.merge()`` first).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from oft.adapters.attaching import freeze, zeros_beside
from oft.adapters.oft.layer_adapter import DEFAULT_NAME, LayerAdapter
from oft.adapters.oft.layers import num_outputs, weight_of
from oft.adapters.oft.targets import find_targets


class MagnitudeAdapter(LayerAdapter):
    """The logarithms of the layers' magnitudes, ``[out]`` each; the model's child ``magnitude_adapter``."""

    kind = "magnitude_adapter"
    slot = "log_scales"

    def __init__(self, model: nn.Module, targets: Mapping[str, nn.Module], name: str = DEFAULT_NAME) -> None:
        initial = {
            key: zeros_beside(weight_of(layer), (num_outputs(layer),)) for key, layer in targets.items()
        }
        super().__init__(model, initial, name)

    @torch.no_grad()
    def scales(self) -> dict[str, Tensor]:
        """Return the scales s, ``[out]`` by layer name; all positive."""
        return {name: log_scale.exp() for name, log_scale in self.named_values()}


def inject_magnitude(
    model: nn.Module, target_modules: Sequence[str] | str, name: str = DEFAULT_NAME
) -> MagnitudeAdapter:
    """Give each target layer of ``model`` scales of 1, freeze everything else, and return the adapter.

    "Everything else" includes an OFT adapter and a hint encoder. Outputs are unchanged until the first step.

    Raises:
        ParamsError: a pattern matches no layer, or the model has a magnitude adapter of that name already.
    """
    adapter = MagnitudeAdapter(model, find_targets(model, target_modules), name)
    freeze(model, keep=(adapter.child_name,))
    return adapter
