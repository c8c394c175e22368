"""Rows of one tensor in several safetensors files, read by number, one file open at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from oft.errors import DataError
from oft.storage import sha256_file

TENSOR_NAME = "rows"


def write_rows(folder: Path, name: str, rows: Shaped[Tensor, "n ..."]) -> dict[str, Any]:
    """Write rows as one file and return its entry: name, num_rows, sha256."""
    save_file({TENSOR_NAME: rows.contiguous()}, folder / name)
    return {"name": name, "num_rows": len(rows), "sha256": sha256_file(folder / name)}


class Rows:
    """The rows of the files in ``entries``, numbered on from file to file.

    Files are opened for each read and verified when a process first reads from them, so that memory does not
    grow with what is read, and processes may be forked or spawned.

    Args:
        folder: where the files are.
        entries: what ``write_rows`` returned for each.
        remedy: ends the message about a damaged file.
    """

    def __init__(self, folder: Path, entries: Sequence[Mapping[str, Any]], remedy: str) -> None:
        self._folder, self._entries, self._remedy = folder, entries, remedy
        self._ends = list(accumulate(int(entry["num_rows"]) for entry in entries))
        self._verified: set[int] = set()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, numbers: Sequence[int]) -> Shaped[Tensor, "n ..."]:
        """Return the rows of these numbers, which must be of one shape.

        Raises:
            DataError: a file is missing or corrupted.
        """
        files: dict[int, list[int]] = {}
        for number in numbers:
            files.setdefault(bisect_right(self._ends, number), []).append(number)
        rows = {number: row for file, wanted in files.items() for number, row in self._rows(file, wanted)}
        return torch.stack([rows[number] for number in numbers])

    def _rows(self, file: int, numbers: Iterable[int]) -> Iterator[tuple[int, Tensor]]:
        entry = self._entries[file]
        path = self._folder / entry["name"]
        if file not in self._verified:
            self._verify(path, entry["sha256"])
            self._verified.add(file)
        first = self._ends[file] - int(entry["num_rows"])
        with safe_open(path, framework="pt") as tensors:
            kept = tensors.get_slice(TENSOR_NAME)
            for number in numbers:
                yield number, kept[number - first]

    def _verify(self, path: Path, expected: str) -> None:
        found = sha256_file(path) if path.is_file() else "that of no file"
        if found != expected:
            raise DataError(
                f"{path} is missing or corrupted: its SHA-256 is {found}, the manifest beside it says "
                f"{expected}; {self._remedy}"
            )
