"""What the processes of a training tell each other."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oft.errors import TrainingError, first_line

if TYPE_CHECKING:
    from torch import nn


class LostRank(Exception):
    """Another process of the training has ended, so nothing it says will come; the cause is there."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a training and which of them this is; one that is alone tells nobody anything.

    Every rank must call the same methods in the same order; where another has ended they raise ``LostRank``.

    Attributes:
        rank: of this process, from 0.
        num: of all processes.
        num_here: of those on this machine.
    """

    rank: int = 0
    num: int = 1
    num_here: int = 1

    @property
    def first(self) -> bool:
        """Return whether this is the rank that writes."""
        return self.rank == 0

    @property
    def mine(self) -> slice:
        """Return which places of a whole batch this rank has (see ``BatchOrder``)."""
        return slice(self.rank, None, self.num)

    def gather(self, values: Sequence[int]) -> list[int]:
        """Return a number for each place of the whole batch, of which each rank gives those of its own."""
        if self.num == 1:
            return list(values)
        import torch
        from torch import distributed

        own = torch.tensor(values, dtype=torch.int64)
        parts = [torch.empty_like(own) for _ in range(self.num)]
        with _contact():
            distributed.all_gather(parts, own)
        gathered: list[int] = torch.stack(parts, dim=1).flatten().tolist()
        return gathered

    def sum(self, value: float) -> float:
        """Return the sum of all ranks' values, in double precision."""
        if self.num == 1:
            return value
        import torch
        from torch import distributed

        total = torch.tensor([value], dtype=torch.float64)
        with _contact():
            distributed.all_reduce(total)
        return float(total)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the mean of all ranks' gradients in place of each rank's own."""
        if self.num == 1:
            return
        import torch
        from torch import distributed

        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        with _contact():
            distributed.all_reduce(together)
        means = (together / self.num).split([gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def from_first(self, value: Any) -> Any:
        """Return the first rank's value: tensors (in the processor's memory), numbers, text, collections."""
        if self.num == 1:
            return value
        import torch
        from torch import distributed

        written = io.BytesIO()
        torch.save(value if self.first else None, written)
        # Not broadcast_object_list, which would unpickle whatever comes.
        content = torch.frombuffer(bytearray(written.getvalue()), dtype=torch.uint8)
        num_bytes = torch.tensor([len(content)])
        with _contact():
            distributed.broadcast(num_bytes, src=0)
            if not self.first:
                content = torch.empty(int(num_bytes), dtype=torch.uint8)
            distributed.broadcast(content, src=0)
        return torch.load(io.BytesIO(content.numpy().tobytes()), map_location="cpu", weights_only=True)

    def refuse_unequal(self, key: str) -> None:
        """Refuse ranks that would train something else than the first.

        Args:
            key: hexadecimal, a hash of settings, inputs and code.

        Raises:
            TrainingError: on all ranks, with the machines whose key differs.
        """
        keys = self.gather([int(key[:15], 16)])
        odd = sorted({rank // self.num_here for rank, other in enumerate(keys) if other != keys[0]})
        if odd == [0]:
            raise TrainingError(
                "settings, inputs or code changed while the processes began; run the stage again"
            )
        if odd:
            raise TrainingError(
                f"machine {', '.join(map(str, odd))} has other settings, inputs or code than machine 0; "
                "check the same revision out everywhere and run `dvc pull` for the inputs of the stage"
            )


ALONE = Ranks()


@contextmanager
def _contact() -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as fault:
        raise LostRank(
            "the training ended because another of its processes did, which says why where it ran "
            f"(here: {first_line(fault)})"
        ) from fault
