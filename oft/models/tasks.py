"""What a checkpoint was made for, by the channels that its UNet takes."""

from __future__ import annotations


def other_task(in_channels: int, latent_channels: int) -> str | None:
    """Return which other kind of Stable Diffusion has a UNet of so many input channels, if one has.

    They see more than the noisy latents: a picture's latents, with or without a mask, or its depth.
    """
    return {
        2 * latent_channels + 1: "an inpainting model (latents, mask, latents of the masked picture)",
        2 * latent_channels: "an instruct-pix2pix model (latents, latents of the picture to edit)",
        latent_channels + 1: "a depth-to-image model (latents, depth)",
    }.get(in_channels)
