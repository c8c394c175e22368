"""Pictures drawn from one form of the activations: the constants that scale it, then the decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.angles.activations import Form
from experiments.angles.autoencoder import Autoencoder
from experiments.angles.training import to_pictures, to_tensor

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

BATCH_SIZE = 64


@torch.no_grad()
def calibrate(
    autoencoder: Autoencoder, pictures: Float[Tensor, "n 3 height width"], form: Form
) -> list[Float[Tensor, "channels 1 1"]]:
    """Return, for each layer of the encoder, the constant for each channel that gives a form z's scale.

    It is the root mean square of z divided by that of the form, over all places of all pictures; each layer's
    input is the output of the layers before, in the same form and scaled. A channel that is zero throughout
    gets zero.
    """
    scales: list[Tensor] = []
    full, formed = pictures, pictures
    for layer in range(len(autoencoder.encoder)):
        full = autoencoder.activate(layer, F.relu(full) if layer else full, "full")
        formed = autoencoder.activate(layer, F.relu(formed) if layer else formed, form)
        sizes = channel_rms(formed)
        scales.append(channel_rms(full) / sizes.clamp_min(torch.finfo(sizes.dtype).tiny))
        formed = formed * scales[-1]
    return scales


def channel_rms(
    feature_map: Float[Tensor, "n channels rows columns"],
) -> Float[Tensor, "channels 1 1"]:
    """Return the root mean square of each channel."""
    return feature_map.square().mean((0, 2, 3)).sqrt()[:, None, None]


@torch.no_grad()
def reconstruct(
    autoencoder: Autoencoder,
    pictures: UInt8[np.ndarray, "n height width 3"],
    form: Form,
    scales: Sequence[Float[Tensor, "channels 1 1"]],
) -> UInt8[np.ndarray, "n height width 3"]:
    """Return what the decoder makes of one form of the encoder's activations of each picture."""
    device = next(autoencoder.parameters()).device
    batches = (pictures[start : start + BATCH_SIZE] for start in range(0, len(pictures), BATCH_SIZE))
    return np.concatenate(
        [
            to_pictures(autoencoder.decode(autoencoder.encode(to_tensor(batch, device), form, scales)))
            for batch in batches
        ]
    )
