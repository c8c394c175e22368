"""How the processes of a training share a batch."""

from __future__ import annotations

import math

from oft.errors import TrainingError
from oft.training.distributed.layout import NODES, PROCESSES


def micro_batches(batch_size: int, gradient_accumulation_steps: int, num_ranks: int) -> int:
    """Return how many micro-batches each rank computes of a batch, none larger than those of one process.

    Raises:
        TrainingError: the ranks' shares would not be equal.
    """

    def parts(ranks: int) -> int:
        return gradient_accumulation_steps // math.gcd(gradient_accumulation_steps, ranks)

    def fits(ranks: int) -> bool:
        return batch_size % (ranks * parts(ranks)) == 0

    if not fits(num_ranks):
        fitting = sorted(filter(fits, range(1, batch_size + 1)), key=lambda ranks: abs(ranks - num_ranks))
        raise TrainingError(
            f"{num_ranks} processes ({PROCESSES} times {NODES}) must divide batch_size ({batch_size}) "
            f"evenly, with gradient_accumulation_steps ({gradient_accumulation_steps}); "
            f"numbers near it that do: {', '.join(map(str, sorted(fitting[:3])))}"
        )
    return parts(num_ranks)
