"""The denoiser's error and its weights."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from oft.models.loss import min_snr_weights


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_makes_errors_of_noise_and_velocity_weigh_alike(gamma: float) -> None:
    """Both weights are min(SNR, gamma) on the error of the clean picture, seen through each prediction."""
    noise_scheduler, velocity_scheduler = (
        DDPMScheduler(beta_schedule="scaled_linear", prediction_type=prediction)
        for prediction in ("epsilon", "v_prediction")
    )
    timesteps = torch.arange(1, 1000, 37)
    alphas = noise_scheduler.alphas_cumprod[timesteps]
    snr = alphas / (1 - alphas)
    noise = min_snr_weights(noise_scheduler, timesteps, gamma)
    velocity = min_snr_weights(velocity_scheduler, timesteps, gamma)
    # An error e of the clean picture is e sqrt(SNR) in the noise and e sqrt(SNR + 1) in the velocity.
    torch.testing.assert_close(noise * snr, velocity * (snr + 1))
    torch.testing.assert_close(noise * snr, snr.clamp(max=gamma))
