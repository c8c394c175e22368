"""Latents that are easy to denoise decode to what they were made of."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL

from miniature.architecture import build_vae
from miniature.networks import WHITENING, encode_moments, even_latents
from miniature.training import to_tensor


def anisotropic_vae() -> AutoencoderKL:
    """Return an autoencoder whose latents have axes of very different variance, away from zero."""
    torch.manual_seed(0)
    vae = build_vae()
    with torch.no_grad():
        vae.quant_conv.weight[:16] *= torch.logspace(1, 3, 16)[:, None, None, None]
        vae.quant_conv.bias[:16] += 5
        vae.quant_conv.bias[16:] -= 4
    return vae


def test_evened_latents_decode_to_the_same_pictures_and_have_evened_variances() -> None:
    vae = anisotropic_vae()
    images = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        before = vae.decode(vae.encode(to_tensor(images)).latent_dist.mean).sample
        means = vae.encode(to_tensor(images)).latent_dist.mean
        even_latents(vae, images)
        after = vae.decode(vae.encode(to_tensor(images)).latent_dist.mean).sample
        evened = vae.encode(to_tensor(images)).latent_dist.mean
    assert torch.allclose(before, after, atol=1e-2 * float(before.std()))
    spreads = [torch.linalg.eigvalsh(torch.cov(z.permute(1, 0, 2, 3).flatten(1))) for z in (means, evened)]
    ratios = [float(spread[-1] / spread[-8]) for spread in spreads]
    assert abs(ratios[1] / ratios[0] ** (1 - WHITENING) - 1) < 0.1
    assert evened.mean((0, 2, 3)).abs().max() < 0.05 * evened.std()


def test_the_scaling_factor_brings_evened_latents_to_unit_variance() -> None:
    vae = anisotropic_vae()
    images = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    even_latents(vae, images)
    scaled = encode_moments(vae, images)[0] * vae.config.scaling_factor
    assert abs(float(scaled.std()) - 1) < 0.02
