"""Tars of generated pictures: the same bytes again, whole or not there, read back in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oft.errors import DataError
from oft.shards.samples import read_samples, write_samples
from oft.types import Request

REQUESTS = [
    Request(key, index, f"a {key}", seed=index) for key in ("boat", "house", "tree") for index in (0, 1)
]


def test_samples_come_back_in_order_and_bytes_are_stable(tmp_path: Path) -> None:
    pictures = {r.name: np.full((8, 8, 3), 20 * i, np.uint8) for i, r in enumerate(REQUESTS)}
    for folder in ("one", "two"):
        for shard in range(2):
            mine = [(r, pictures[r.name]) for r in REQUESTS[shard::2]]
            (tmp_path / folder).mkdir(exist_ok=True)
            assert write_samples(tmp_path / folder / f"{shard}.tar", mine) == 3
    assert (tmp_path / "one" / "0.tar").read_bytes() == (tmp_path / "two" / "0.tar").read_bytes()
    found = list(read_samples(tmp_path / "one", 2))
    assert [request for request, _ in found] == REQUESTS
    assert all(np.array_equal(picture, pictures[request.name]) for request, picture in found)


def test_what_a_run_in_more_shards_left_behind_is_not_read(tmp_path: Path) -> None:
    write_samples(tmp_path / "0.tar", [(REQUESTS[0], np.zeros((8, 8, 3), np.uint8))])
    write_samples(tmp_path / "1.tar", [(REQUESTS[0], np.ones((8, 8, 3), np.uint8))])
    ((request, picture),) = read_samples(tmp_path, 1)
    assert request == REQUESTS[0] and not picture.any()


def test_a_damaged_tar_is_named(tmp_path: Path) -> None:
    write_samples(tmp_path / "0.tar", [(REQUESTS[0], np.zeros((8, 8, 3), np.uint8))])
    tar = tmp_path / "0.tar"
    tar.write_bytes(tar.read_bytes()[:700])
    with pytest.raises(DataError, match=r"0\.tar: damaged"):
        list(read_samples(tmp_path, 1))


def test_a_failed_run_leaves_no_tar(tmp_path: Path) -> None:
    def pictures() -> Iterator[tuple[Request, np.ndarray]]:
        yield REQUESTS[0], np.zeros((8, 8, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(tmp_path / "0.tar", pictures())
    assert list(tmp_path.iterdir()) == []
