"""Rows come back by number from any file, and a damaged file is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from oft.errors import DataError
from oft.training.rows import Rows, write_rows


def test_rows_are_numbered_on_from_file_to_file(tmp_path: Path) -> None:
    tensors = [torch.randn(n, 2, 3) for n in (4, 1, 2)]
    rows = Rows(tmp_path, [write_rows(tmp_path, f"{n}.safetensors", t) for n, t in enumerate(tensors)], "")
    numbers = [6, 0, 4, 3, 5]
    assert torch.equal(rows.read(numbers), torch.cat(tensors)[numbers])


def test_files_may_hold_rows_of_different_shapes(tmp_path: Path) -> None:
    wide, tall = torch.randn(2, 2, 5), torch.randn(2, 5, 2)
    entries = [
        write_rows(tmp_path, "a.safetensors", wide),
        write_rows(tmp_path, "b.safetensors", tall),
    ]
    rows = Rows(tmp_path, entries, "")
    assert torch.equal(rows.read([1, 0]), wide[[1, 0]])
    assert torch.equal(rows.read([2, 3]), tall)


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    tensor = torch.randn(3, 4).T  # not contiguous
    assert write_rows(tmp_path, "a", tensor) == write_rows(tmp_path, "a", tensor.clone())


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"x"), lambda path: path.unlink()])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    entries = [write_rows(tmp_path, name, torch.zeros(2, 2)) for name in ("a", "b")]
    damage(tmp_path / "b")
    rows = Rows(tmp_path, entries, "do this")
    assert rows.read([0, 1]).shape == (2, 2)
    with pytest.raises(
        DataError, match=rf"{tmp_path}/b is missing or corrupted.*{entries[1]['sha256']}; do this"
    ):
        rows.read([2])
