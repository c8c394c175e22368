"""Min-SNR (Hang et al. 2023, arXiv 2303.09556): how much the error at each timestep counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, DDPMScheduler
    from torch import Tensor


def min_snr_weights(
    scheduler: DDPMScheduler | DDIMScheduler, timesteps: Tensor, snr_gamma: float, *, velocity: bool
) -> Tensor:
    """Return Min-SNR's weight of each timestep for the predicted noise or velocity, [b] to [b].

    min(SNR, gamma) / SNR for noise, min(SNR, gamma) / (SNR + 1) for velocity (Hang et al. 2023, section 3.4).
    """
    from diffusers.training_utils import compute_snr

    snr = compute_snr(scheduler, timesteps)
    return snr.clamp(max=snr_gamma) / (snr + 1 if velocity else snr)
