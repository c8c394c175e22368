"""The error of a denoiser's prediction, plain or with Min-SNR's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float, Float32, Int
from torch import Tensor

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, DDPMScheduler


def prediction_target(
    scheduler: DDPMScheduler | DDIMScheduler,
    latents: Float[Tensor, " batch *shape"],
    noise: Float[Tensor, " batch *shape"],
    timesteps: Int[Tensor, " batch"],
) -> Float[Tensor, " batch *shape"]:
    """Return what the scheduler's model predicts: the noise, or the velocity (Salimans and Ho 2022)."""
    if scheduler.config.prediction_type != "v_prediction":
        return noise
    velocity: Tensor = scheduler.get_velocity(latents, noise, timesteps)
    return velocity


def prediction_loss(
    scheduler: DDPMScheduler | DDIMScheduler,
    predicted: Float[Tensor, " batch *shape"],
    target: Float[Tensor, " batch *shape"],
    timesteps: Int[Tensor, " batch"],
    snr_gamma: float = 0.0,
) -> Float32[Tensor, ""]:
    """Return the mean squared error of predicted noise or velocity, taken in float32.

    That is eq. 14 of Ho et al. 2020. With ``snr_gamma`` > 0 each sample counts by Min-SNR's weight: steps
    with little noise, where captions and conditions tell next to nothing, count less.
    """
    errors = (predicted.float() - target.float()).square().flatten(1).mean(1)
    if snr_gamma:
        errors = errors * min_snr_weights(scheduler, timesteps, snr_gamma)
    return errors.mean()


def min_snr_weights(
    scheduler: DDPMScheduler | DDIMScheduler, timesteps: Int[Tensor, " batch"], snr_gamma: float
) -> Float[Tensor, " batch"]:
    """Return Min-SNR's weight of each timestep (Hang et al. 2023, arXiv 2303.09556, section 3.4).

    min(SNR, gamma) / SNR if the scheduler's prediction is noise, min(SNR, gamma) / (SNR + 1) if velocity.
    """
    from diffusers.training_utils import compute_snr

    snr = compute_snr(scheduler, timesteps)
    velocity = scheduler.config.prediction_type == "v_prediction"
    return snr.clamp(max=snr_gamma) / (snr + 1 if velocity else snr)
