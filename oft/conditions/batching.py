"""Conditions that networks make: pictures in, batch by batch, in the main process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from oft.conditions.condition import Condition, Settings

BATCH_SIZE = 8

Item = TypeVar("Item")


def extract_batches(
    condition: Condition,
    settings: Settings,
    device: str,
    pictures: Iterable[tuple[Item, NDArray[np.uint8]]],
    batch_size: int = BATCH_SIZE,
) -> Iterator[tuple[Item, NDArray[np.uint8]]]:
    """Yield each item with what the condition's network makes of its picture, in the order they came.

    That is its conditioning image or, where the condition has ``extract`` too, the annotation that it is to
    be made from. Only a batch is held; pictures of different sizes are never in one. The network is loaded at
    the first picture.

    Args:
        condition: one with ``load``.
        settings: the condition's.
        device: torch device.
        pictures: anything that tells a picture, and the picture, uint8 [height, width, 3].
        batch_size: pictures at once; what comes out depends on it by rounding alone.

    Raises:
        CheckpointError: the network's weights are missing or damaged.
    """
    assert condition.load is not None, f"{condition.name} is made without a network"
    extract = None
    for _, of_one_size in groupby(pictures, key=lambda pair: pair[1].shape):
        while batch := list(islice(of_one_size, batch_size)):
            extract = extract or condition.load(settings, device)
            # Copies: torch takes neither mirrored views nor what is read-only.
            made = extract([np.array(picture, order="C") for _, picture in batch])
            yield from zip((item for item, _ in batch), made, strict=True)
