"""Training of the autoencoder, with ordinary inner products alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.angles.autoencoder import Autoencoder
from oft.errors import TrainingError
from oft.progress import progress

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from oft.settings.evaluation import Angles

WARMUP_SHARE = 0.05


def train_autoencoder(
    pictures: UInt8[np.ndarray, "n height width 3"],
    settings: Angles,
    device: str,
    generator: torch.Generator,
) -> Autoencoder:
    """Return an autoencoder that minimises the mean squared error of its reconstructions, with Adam.

    The rate rises to its peak over the first steps and falls to zero along a cosine.

    Args:
        generator: on the CPU; the initial weights and every batch are drawn from it.

    Raises:
        TrainingError: the loss is no finite number any more.
    """
    # Channels last is the layout the processor's convolutions are fastest in.
    autoencoder = Autoencoder(generator).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        settings.learning_rate,
        total_steps=settings.max_train_steps,
        pct_start=WARMUP_SHARE,
        cycle_momentum=False,
    )
    with progress(settings.max_train_steps, "autoencoder", "step") as bar:
        for step in range(settings.max_train_steps):
            chosen = torch.randint(len(pictures), (settings.batch_size,), generator=generator)
            batch = to_tensor(pictures[chosen.numpy()], device)
            loss = F.mse_loss(autoencoder(batch), batch)
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"autoencoder: the loss is {loss.item()} at step {step}; "
                    f"lower angles.learning_rate ({settings.learning_rate}) in params.yaml"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.advance()
            bar.describe(f"loss {loss.item():.4f}")
    return autoencoder.eval().requires_grad_(False)


def to_tensor(
    pictures: UInt8[np.ndarray, "n height width 3"], device: str | torch.device
) -> Float[Tensor, "n 3 height width"]:
    """Return 8-bit pictures as floats in [-1, 1]."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(values: Float[Tensor, "n 3 height width"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Return floats in [-1, 1] as 8-bit pictures; what is outside is cut off."""
    levels = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
