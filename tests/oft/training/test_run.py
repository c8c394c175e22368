"""A whole training: its grids, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oft.data.shards import pack_sample, write_shards
from oft.errors import DataError
from oft.models.base import load_base
from oft.training.run import GRID_PADDING_PX, read_encoded, tile


def test_a_grid_shows_every_picture_and_fills_short_rows_with_white() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (8, 6, 3), dtype=np.uint8) for _ in range(5)]
    grid = np.asarray(tile([pictures[:2], pictures[2:]]))
    height, width = 8 + 2 * GRID_PADDING_PX, 6 + 2 * GRID_PADDING_PX
    assert grid.shape == (2 * height, 3 * width, 3)
    for place, picture in zip([(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)], pictures, strict=True):
        top, left = place[0] * height + GRID_PADDING_PX, place[1] * width + GRID_PADDING_PX
        np.testing.assert_array_equal(grid[top : top + 8, left : left + 6], picture)
    assert (grid[:height, 2 * width :] == 255).all()


def test_an_empty_split_is_refused_by_name(base_folder: Path, tmp_path: Path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    write_shards([pack_sample("a", picture, lossless=True)], tmp_path, "val", 4)
    write_shards([], tmp_path, "train", 4)
    with pytest.raises(DataError, match=rf"{tmp_path}: there is no train sample.*counts\.json"):
        read_encoded(load_base(base_folder), tmp_path, "train")
