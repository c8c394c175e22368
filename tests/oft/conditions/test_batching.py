from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oft.conditions.batching import extract_batches
from oft.conditions.condition import BatchExtractor, Condition, Settings


class Inverting:
    """A network that inverts pictures and remembers what it was given."""

    def __init__(self) -> None:
        self.loaded: list[tuple[Settings, str]] = []
        self.batches: list[list[tuple[int, ...]]] = []

    def load(self, settings: Settings, device: str) -> BatchExtractor:
        self.loaded.append((settings, device))
        return self.extract

    def extract(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        self.batches.append([picture.shape for picture in pictures])
        return [255 - picture for picture in pictures]


def pictures(*heights: int) -> list[tuple[str, NDArray[Any]]]:
    rng = np.random.default_rng(0)
    return [
        (f"k{index}", rng.integers(0, 256, (height, 8, 3), dtype=np.uint8))
        for index, height in enumerate(heights)
    ]


def test_each_item_comes_with_its_own_in_order_and_sizes_are_not_mixed() -> None:
    network = Inverting()
    given = pictures(8, 8, 8, 16, 8)
    made = list(extract_batches(Condition("inverse", load=network.load), {"a": 1}, "cpu", given, 2))
    assert [key for key, _ in made] == [key for key, _ in given]
    for (_, picture), (_, inverse) in zip(given, made, strict=True):
        np.testing.assert_array_equal(inverse, 255 - picture)
    assert network.loaded == [({"a": 1}, "cpu")]
    assert [len(batch) for batch in network.batches] == [2, 1, 1, 1]
    assert all(len(set(batch)) == 1 for batch in network.batches)


def test_without_pictures_nothing_is_loaded() -> None:
    network = Inverting()
    assert not list(extract_batches(Condition("inverse", load=network.load), {}, "cpu", []))
    assert not network.loaded


def test_only_a_batch_is_held() -> None:
    network, taken = Inverting(), 0

    def stream() -> Any:
        nonlocal taken
        for pair in pictures(*[8] * 9):
            taken += 1
            yield pair

    next(extract_batches(Condition("inverse", load=network.load), {}, "cpu", stream(), 3))
    assert taken == 3
