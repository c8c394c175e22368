"""Reading ahead: worker processes prepare the next batches while a step computes; they change no result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from oft.errors import UserError
from oft.parallel import usable_cores

MAX_WORKERS = 8

T = TypeVar("T")
Load = Callable[[NDArray[np.int64]], T]


def num_workers_beside(device: str, num_trainings: int = 1) -> int:
    """Return how many processes read ahead: none where the network itself takes the cores.

    Args:
        num_trainings: processes on this machine that train and share its cores.
    """
    if device == "cpu":
        return 0
    return min(MAX_WORKERS, max(1, usable_cores() // num_trainings) - 1)


def prefetch(load: Load[T], batches: Iterable[NDArray[np.int64]], num_workers: int = 0) -> Iterator[T]:
    """Yield ``load(batch)`` of each of the batches, in their order, which may be endless.

    Args:
        load: reads samples by number; a picklable function where processes are not forked.
        num_workers: processes that read ahead; 0 loads each batch when it is asked for.

    Raises:
        UserError: as ``load`` raised it, in whichever process.
    """
    if not num_workers:
        yield from map(load, batches)
        return
    import torch
    from torch.utils.data import DataLoader

    dataset: Any = _Loading(load)
    loader: Any = DataLoader(
        dataset,
        sampler=batches,
        batch_size=None,
        collate_fn=_identity,
        num_workers=num_workers,
        generator=torch.Generator(),  # else it draws from the global one, which others may depend on
    )
    for loaded in loader:
        if isinstance(loaded, UserError):
            raise loaded
        yield loaded


class Feed(Generic[T]):
    """What ``load`` gives for the batch of a step: a function of the step that expects the next one.

    Args:
        load: see ``prefetch``.
        batch_of_step: sample numbers of a step.
    """

    def __init__(
        self, load: Load[T], batch_of_step: Callable[[int], NDArray[np.int64]], num_workers: int = 0
    ) -> None:
        self._load, self._batch_of_step, self._num_workers = load, batch_of_step, num_workers
        self._stream: Iterator[T] = iter(())
        self._next: int | None = None

    def __call__(self, step: int) -> T:
        if step != self._next:
            batches = map(self._batch_of_step, count(step))
            self._stream = prefetch(self._load, batches, self._num_workers)
        self._next = step + 1
        return next(self._stream)


class _Loading:
    """``load`` as the map-style dataset that torch's DataLoader asks for; its "items" are whole batches."""

    def __init__(self, load: Load[Any]) -> None:
        self._load = load

    def __getitem__(self, batch: NDArray[np.int64]) -> Any:
        try:
            return self._load(batch)
        except UserError as fault:  # raised in a worker it would reach the user as a traceback
            return fault


def _identity(loaded: Any) -> Any:
    return loaded
