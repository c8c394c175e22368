from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oft.datasets.embedded import BATCH_ROWS, Embedded


def values_of(count: int) -> list[bytes | None]:
    return [f"value {number}".encode() * 50 for number in range(count)]


def value(source: Embedded) -> bytes:
    with source.open() as stream:
        return stream.read()


@pytest.mark.parametrize("rows_a_group", [1, 7, 1000])
def test_any_row_is_found_in_any_order(
    tmp_path: Path, save_parquet: Callable[..., Path], rows_a_group: int
) -> None:
    expected = values_of(3 * BATCH_ROWS + 5)
    file = save_parquet(tmp_path / "a.parquet", {"image": expected}, rows_a_group)
    rows = range(len(expected))
    for order in (rows, reversed(rows), np.random.default_rng(0).permutation(len(expected)).tolist()):
        for row in order:
            assert value(Embedded(file, row, "image.bytes")) == expected[row]


def test_reading_forwards_reads_each_batch_once(
    tmp_path: Path, save_parquet: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oft.datasets import embedded

    file = save_parquet(tmp_path / "a.parquet", {"image": values_of(10 * BATCH_ROWS)}, 10_000)
    batches: list[int] = []
    bytes_of = embedded._bytes_of

    def counted(batch: Any) -> list[bytes | None]:
        batches.append(len(batch))
        return bytes_of(batch)

    monkeypatch.setattr(embedded, "_bytes_of", counted)
    for row in range(0, 10 * BATCH_ROWS, 3):  # as a worker does that gets every third picture
        value(Embedded(file, row, "image.bytes"))
    assert batches == [BATCH_ROWS] * 10


def test_null_and_missing_rows_are_missing_files(tmp_path: Path, save_parquet: Callable[..., Path]) -> None:
    file = save_parquet(tmp_path / "a.parquet", {"image": [b"x", None]})
    for source in (
        Embedded(file, 1, "image.bytes"),
        Embedded(file, 2, "image.bytes"),
        Embedded(tmp_path / "b.parquet", 0, "image.bytes"),
    ):
        with pytest.raises(FileNotFoundError):
            source.open()


def test_a_changed_file_is_read_anew(tmp_path: Path, save_parquet: Callable[..., Path]) -> None:
    source = Embedded(tmp_path / "a.parquet", 0, "image.bytes")
    for expected in (b"first", b"the second"):
        save_parquet(source.file, {"image": [expected]})
        assert value(source) == expected


def test_damage_in_one_row_group_leaves_the_others(tmp_path: Path, save_parquet: Callable[..., Path]) -> None:
    expected = [np.random.default_rng(row).bytes(2000) for row in range(9)]
    file = save_parquet(tmp_path / "a.parquet", {"image": expected}, 3)
    data = bytearray(file.read_bytes())
    start = data.index(expected[3]) - 16  # in the header of its page
    data[start : start + 6000] = bytes(6000)
    file.write_bytes(data)
    for row in range(9):
        source = Embedded(file, row, "image.bytes")
        if row // 3 != 1:
            assert value(source) == expected[row]
        else:
            with pytest.raises(OSError, match="cannot be read from row 3 on"):
                source.open()


def test_it_is_named_after_its_file_and_row_and_crosses_processes() -> None:
    source = Embedded(Path("data/train-00000-of-00001.parquet"), 12, "image.bytes")
    assert source.name == "train-00000-of-00001.parquet[12]"
    assert source.stem == "train-00000-of-00001-00000012"
    assert pickle.loads(pickle.dumps(source)) == source and len(pickle.dumps(source)) < 300
