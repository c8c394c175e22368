"""Validation grids: every cell has the run's size, whatever size the samples have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oft.data.pictures import decode_rgb
from oft.data.shards import pack_sample, write_shards
from oft.params import Params, Sampling
from oft.storage import write_json
from oft.training import validation
from oft.training.run import GRID_PADDING_PX
from oft.types import Request

SIDE_PX = 16
COLOURS = {(24, 8): (200, 40, 40), (16, 16): (40, 200, 40), (8, 24): (40, 40, 200)}


def draw(shards: Path, settings: Sampling, seen: dict[str, tuple[int, ...]]) -> np.ndarray:
    """Return the grid of three samples, drawn by a base whose pictures are black."""

    def generate(
        base: Any, requests: Sequence[Request], conditions: dict[str, bytes] | None, *_: Any
    ) -> Iterator[tuple[Request, np.ndarray]]:
        for request in requests:
            if conditions is not None:
                seen[request.key] = decode_rgb(conditions[request.key]).shape
            yield request, np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)

    unet = SimpleNamespace(training=True, eval=lambda: None, train=lambda training: None)
    base: Any = SimpleNamespace(unet=unet)
    loaded: Any = SimpleNamespace(adapter=SimpleNamespace(merging=nullcontext))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "generate", generate)
        drawer = validation.grid_drawer(base, loaded, shards, 3, settings, SIDE_PX, 0)
        assert drawer is not None
        return np.asarray(drawer())


@pytest.mark.parametrize("subject", [False, True])
def test_pictures_from_buckets_fit_into_the_grid(tmp_path: Path, params: Params, subject: bool) -> None:
    samples = [
        pack_sample(
            f"k{number}",
            picture := np.full((size[1], size[0], 3), colour, np.uint8),
            None if subject else 255 - picture,
            meta={"captions": ["a house"]},
            lossless=True,
        )
        for number, (size, colour) in enumerate(COLOURS.items())
    ]
    write_shards(samples, tmp_path, "train", 8)
    write_shards([], tmp_path, "val", 8)
    if subject:
        write_json(tmp_path / "prompts.json", {"prompts": {f"p{number}": "a toy" for number in range(5)}})
    seen: dict[str, tuple[int, ...]] = {}
    grid = draw(tmp_path, params.sample, seen)
    cell, num_rows = SIDE_PX + 2 * GRID_PADDING_PX, 2 if subject else 3
    assert grid.shape == (num_rows * cell, 3 * cell, 3)
    assert set(seen.values()) == (set() if subject else {(SIDE_PX, SIDE_PX, 3)})
    centres = grid[cell // 2 :: cell, cell // 2 :: cell]
    targets = np.array(list(COLOURS.values()))
    np.testing.assert_array_equal(centres[-2], targets)
    if not subject:
        np.testing.assert_array_equal(centres[0], 255 - targets)
