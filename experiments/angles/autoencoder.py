"""A small convolutional autoencoder whose encoder can make its feature maps in each form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from experiments.angles.activations import Form, activate

if TYPE_CHECKING:
    from jaxtyping import Float

CHANNELS = (3, 16, 32, 64)
KERNEL_SIZE, STRIDE, PADDING = 4, 2, 1  # each layer halves the picture's side exactly

_Layer = TypeVar("_Layer", nn.Conv2d, nn.ConvTranspose2d)


class Autoencoder(nn.Module):
    """Pictures ``[n, 3, h, w]`` in [-1, 1] to codes ``[n, 64, h/8, w/8]`` and back.

    The encoder has no biases (see `experiments.angles`). ReLU stands between layers, not after a half's last.

    Args:
        generator: what the weights are drawn from, on the CPU; no other source of randomness is touched.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        shape = {"kernel_size": KERNEL_SIZE, "stride": STRIDE, "padding": PADDING}
        widths = list(pairwise(CHANNELS))
        taps = KERNEL_SIZE**2
        self.encoder = nn.ModuleList(
            _init_weights(skip_init(nn.Conv2d, fine, coarse, **shape, bias=False), fine * taps, generator)
            for fine, coarse in widths
        )
        # The windows of a transposed convolution overlap: kernel²/stride² filter taps meet in a pixel.
        self.decoder = nn.ModuleList(
            _init_weights(
                skip_init(nn.ConvTranspose2d, coarse, fine, **shape), coarse * taps // STRIDE**2, generator
            )
            for fine, coarse in reversed(widths)
        )

    def activate(self, layer: int, x: Tensor, form: Form) -> Tensor:
        """Return the feature map that a layer of the encoder makes of its input in one form, unscaled."""
        convolution = self.encoder[layer]
        assert isinstance(convolution, nn.Conv2d)
        return activate(convolution.weight, x, stride=STRIDE, padding=PADDING, form=form)

    def encode(
        self,
        pictures: Float[Tensor, "n 3 height width"],
        form: Form = "full",
        scales: Sequence[Float[Tensor, "channels 1 1"]] | None = None,
    ) -> Float[Tensor, "n 64 rows columns"]:
        """Return the codes of pictures.

        Args:
            form: of every feature map.
            scales: one a layer, what its feature maps are multiplied by; None for no scaling.
        """
        x = pictures
        for layer in range(len(self.encoder)):
            x = self.activate(layer, F.relu(x) if layer else x, form)
            x = x if scales is None else x * scales[layer]
        return x

    def decode(self, codes: Float[Tensor, "n 64 rows columns"]) -> Float[Tensor, "n 3 height width"]:
        """Return the pictures decoded from codes; values may leave [-1, 1] a little."""
        x = codes
        for layer, convolution in enumerate(self.decoder):
            x = convolution(F.relu(x) if layer else x)
        return x

    def forward(self, pictures: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n 3 height width"]:
        """Return the reconstructions of pictures."""
        return self.decode(self.encode(pictures))


def _init_weights(layer: _Layer, fan_in: int, generator: torch.Generator) -> _Layer:
    """Draw a layer's weights with variance 1 / fan_in (LeCun et al., "Efficient BackProp"), biases zero."""
    nn.init.normal_(layer.weight, std=math.sqrt(1 / fan_in), generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
