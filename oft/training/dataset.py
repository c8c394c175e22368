"""A split's samples ready for training: latents computed once, conditions kept encoded, captions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from oft.data.shards import decode_image, shuffled_order
from oft.errors import DataError
from oft.models.conditioning import conditioning_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from oft.data.shards import Sample
    from oft.models.base import Base

ENCODE_BATCH = 32


@dataclass(frozen=True)
class EncodedSet:
    """Samples of one split.

    Attributes:
        keys: one a sample.
        means: of the latents' posterior, [n, channels, h, w], scaled to unit variance.
        deviations: of the same.
        conditions: encoded conditioning images, or none.
        captions: one or more a sample.
    """

    keys: list[str]
    means: Tensor
    deviations: Tensor
    conditions: list[bytes] | None
    captions: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.keys)

    def latents(self, indices: NDArray[np.int64], generator: torch.Generator) -> Tensor:
        """Return latents [b, channels, h, w] drawn from the posterior."""
        chosen = torch.from_numpy(indices)
        noise = torch.randn(self.means[chosen].shape, generator=generator)
        return self.means[chosen] + self.deviations[chosen] * noise

    def conditioning(self, indices: NDArray[np.int64]) -> Tensor | None:
        """Return conditioning images [b, 3, h, w] in [0, 1], ControlNet's range; None without a condition."""
        if self.conditions is None:
            return None
        return conditioning_tensor([self.conditions[index] for index in indices])


@torch.no_grad()
def encode_samples(samples: Iterable[Sample], base: Base) -> EncodedSet:
    """Encode pictures with the base's autoencoder, batch by batch.

    Raises:
        DataError: there is no sample, or only some have a condition.
    """
    keys, captions, conditions, means, deviations = [], [], [], [], []
    waiting: list[np.ndarray] = []

    def encode() -> None:
        pictures = torch.from_numpy(np.stack(waiting)).permute(0, 3, 1, 2).float() / 127.5 - 1
        posterior = base.vae.encode(pictures.to(base.vae.device)).latent_dist
        means.append(posterior.mean.cpu() * base.vae.config.scaling_factor)
        deviations.append(posterior.std.cpu() * base.vae.config.scaling_factor)
        waiting.clear()

    for sample in samples:
        keys.append(sample.key)
        captions.append(tuple(sample.meta["captions"]))
        if sample.condition is not None:
            conditions.append(sample.condition)
        waiting.append(decode_image(sample))
        if len(waiting) == ENCODE_BATCH:
            encode()
    if waiting:
        encode()
    if not keys:
        raise DataError(
            "the shards hold no sample of this split; see the counts beside them for what was dropped"
        )
    if conditions and len(conditions) != len(keys):
        raise DataError(
            f"{len(keys) - len(conditions)} of {len(keys)} samples have no conditioning image; "
            "make the shards again"
        )
    return EncodedSet(keys, torch.cat(means), torch.cat(deviations), conditions or None, captions)


def batch_indices(step: int, batch_size: int, num_samples: int, seed: int) -> NDArray[np.int64]:
    """Return the samples of a step: each epoch is one deterministic shuffle, batches run on across epochs."""
    positions = range(step * batch_size, (step + 1) * batch_size)
    orders = {
        epoch: shuffled_order(num_samples, seed, epoch) for epoch in {p // num_samples for p in positions}
    }
    return np.array([orders[position // num_samples][position % num_samples] for position in positions])
