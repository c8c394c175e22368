"""The order samples are trained on in: a function of seed and step alone, whatever reads them ahead.

Random access makes this possible: a training resumed in mid-epoch computes its next batch instead of reading
up to it, and neither workers nor ranks change what is in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from oft.pictures import Size
from oft.shards.store import ShardSpan


def shuffled_order(num_samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return a permutation of 0 .. num_samples - 1 that depends on seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(num_samples)


def windowed_order(
    shards: Sequence[range], seed: int, epoch: int, window: int | None = None
) -> NDArray[np.int64]:
    """Return the samples of ``shards`` in an order that depends on seed and epoch.

    Args:
        shards: sample numbers of each shard.
        window: shards whose samples are mixed; no more are in use at a time, so that shards which are fetched
            from afar need not all be kept. None mixes all.
    """
    numbers = [np.arange(shard.start, shard.stop) for shard in shards]
    if window is None or window >= len(shards):
        everything = np.concatenate(numbers)
        return everything[shuffled_order(len(everything), seed, epoch)]
    rng = np.random.default_rng([seed, epoch])
    turns = rng.permutation(len(shards))
    groups = (turns[start : start + window] for start in range(0, len(turns), window))
    return np.concatenate([rng.permutation(np.concatenate([numbers[n] for n in group])) for group in groups])


def bucket_of_step(sizes: Sequence[int], step: int) -> tuple[int, int]:
    """Return which bucket a step takes its batch from, and how many batches that bucket gave before.

    Buckets take turns in proportion to their sizes, as evenly as can be: the batch number k of a bucket of n
    samples is due at (k + 1/2) / n, which is the Webster/Sainte-Laguë method of sharing out seats.
    """
    count, total = len(sizes), sum(sizes)
    # All that is due up to (step - count / 2) / total, which never is too much; the rest follows one by one.
    given = [max(0, (size * (2 * step - count) + total) // (2 * total)) for size in sizes]

    def next_bucket() -> int:
        return min(range(count), key=lambda bucket: Fraction(2 * given[bucket] + 1, sizes[bucket]))

    for _ in range(step - sum(given)):
        given[next_bucket()] += 1
    chosen = next_bucket()
    return chosen, given[chosen]


class BatchOrder:
    """The samples of every step: ``order(step)`` are numbers int64 [batch_size] of one picture size.

    Each bucket (the shards of one size) is shuffled anew every epoch and its batches run on across epochs, so
    that an epoch shows every sample once. With one size and no window an epoch is ``shuffled_order``.

    Args:
        shards: what there is to read.
        batch_size: of all ranks together.
        seed: of the shuffling.
        window: see ``windowed_order``.
        rank, num_ranks: rank r of R gets the places r, r + R, ... of each batch.
    """

    def __init__(
        self,
        shards: Sequence[ShardSpan],
        batch_size: int,
        seed: int,
        *,
        window: int | None = None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if batch_size % num_ranks or not 0 <= rank < num_ranks:
            raise ValueError(
                f"rank ({rank}) must be below num_ranks ({num_ranks}), which must divide the batch size "
                f"({batch_size})"
            )
        self._buckets = list(buckets(shards).values())
        self._sizes = [sum(map(len, bucket)) for bucket in self._buckets]
        if not self._sizes:
            raise ValueError("there is no sample to put in order")
        self._batch_size, self._rank, self._num_ranks = batch_size, rank, num_ranks
        # A batch may reach from one epoch of its bucket into the next.
        self._epoch = lru_cache(maxsize=2 * len(self._buckets))(
            lambda bucket, epoch: windowed_order(self._buckets[bucket], seed, epoch, window)
        )

    def __call__(self, step: int) -> NDArray[np.int64]:
        """Return this rank's samples of a step."""
        bucket, number = bucket_of_step(self._sizes, step)
        places = range(
            number * self._batch_size + self._rank, (number + 1) * self._batch_size, self._num_ranks
        )
        size = self._sizes[bucket]
        return np.array([self._epoch(bucket, place // size)[place % size] for place in places])


def buckets(shards: Sequence[ShardSpan]) -> dict[Size | None, list[range]]:
    """Return the samples of each picture size, shard by shard; shards without samples are left out."""
    found: dict[Size | None, list[range]] = {}
    for shard in shards:
        if shard.samples:
            found.setdefault(shard.size_px, []).append(shard.samples)
    return found


def batches_in_order(shards: Sequence[ShardSpan], batch_size: int) -> list[NDArray[np.int64]]:
    """Return every sample once, unshuffled, in batches of one picture size; its last may be smaller."""
    numbers = [
        np.concatenate([np.arange(part.start, part.stop) for part in bucket])
        for bucket in buckets(shards).values()
    ]
    return [
        bucket[start : start + batch_size]
        for bucket in numbers
        for start in range(0, len(bucket), batch_size)
    ]
