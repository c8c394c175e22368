from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from oft.models.min_snr import min_snr_weights


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_makes_errors_of_noise_and_velocity_weigh_alike(gamma: float) -> None:
    """Both weights are min(SNR, gamma) on the error of the clean picture, seen through each prediction."""
    scheduler = DDPMScheduler(beta_schedule="scaled_linear")
    timesteps = torch.arange(1, 1000, 37)
    alphas = scheduler.alphas_cumprod[timesteps]
    snr = alphas / (1 - alphas)
    noise, velocity = (
        min_snr_weights(scheduler, timesteps, gamma, velocity=velocity) for velocity in (False, True)
    )
    # An error e of the clean picture is e sqrt(SNR) in the noise and e sqrt(SNR + 1) in the velocity.
    torch.testing.assert_close(noise * snr, velocity * (snr + 1))
    torch.testing.assert_close(noise * snr, snr.clamp(max=gamma))
