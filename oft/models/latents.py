"""The latents of pictures, by the base's autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

if TYPE_CHECKING:
    from oft.models.base import Base


# Eight pictures of 512 x 512: the autoencoder of SD 1.5 takes some gigabytes for each of them.
PIXELS_A_PASS = 8 * 512 * 512


@torch.no_grad()
def encode_pictures(
    base: Base, pictures: UInt8[Tensor, "n 3 height width"]
) -> Float[Tensor, "n 2 channels rows columns"]:
    """Return the posteriors of pictures' latents, means and deviations, at the autoencoder's reduced size.

    Both are scaled so that latents have about unit variance. What else is in the batch changes a posterior by
    no more than rounding: oneDNN takes another kernel for a batch of one, the others agreed bit for bit.
    """
    num_pictures = max(1, PIXELS_A_PASS // (pictures.shape[2] * pictures.shape[3]))
    return torch.cat([_posteriors(base, part) for part in pictures.split(num_pictures)])


def _posteriors(
    base: Base, pictures: UInt8[Tensor, "n 3 height width"]
) -> Float[Tensor, "n 2 channels rows columns"]:
    posterior = base.vae.encode(pictures.to(base.vae.device).float() / 127.5 - 1).latent_dist
    scaled: Tensor = torch.stack([posterior.mean, posterior.std], dim=1) * base.vae.config.scaling_factor
    return scaled.cpu()
