"""Files kept as values in Parquet files, as the hub keeps pictures."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, Literal

BATCH_ROWS = 16
"""Rows decoded at a time. Of the file a page is in memory, which the writer may have made as large as its
row group."""


@dataclass(frozen=True)
class Embedded:
    """A value in a Parquet file, opened like a path (see `oft.types.ByteSource`); small and picklable.

    Attributes:
        file: the Parquet file.
        row: counted from 0 over the whole file.
        column: the column of its bytes, with dots where it is nested (``image.bytes``).
    """

    file: Path
    row: int
    column: str

    @property
    def name(self) -> str:
        """What counts and messages call it."""
        return f"{self.file.name}[{self.row}]"

    @property
    def stem(self) -> str:
        """Its name as that of a file of its own."""
        return f"{self.file.stem}-{self.row:08d}"

    def open(self, mode: Literal["rb"] = "rb", /) -> IO[bytes]:
        """Return a stream of the bytes; reading on in a file is cheap, jumping back is not.

        Raises:
            FileNotFoundError: there is no such file or row, or the row has no bytes.
            OSError: the file is damaged there.
        """
        status = self.file.stat()
        data = _column(self.file, self.column, status.st_mtime_ns, status.st_size).read(self.row)
        if data is None:
            raise FileNotFoundError(self.name)
        return io.BytesIO(data)


@lru_cache(maxsize=4)
def _column(file: Path, column: str, mtime_ns: int, size_bytes: int) -> _Column:
    """Each process keeps the few columns it reads open; a file that changed is opened anew."""
    return _Column(file, column)


class _Column:
    """A column of bytes, cheap to read forwards."""

    def __init__(self, file: Path, column: str) -> None:
        from pyarrow.parquet import ParquetFile

        # Without threads and read-ahead a process may fork while the file is open; with a buffer a column
        # streams instead of being read whole.
        self._file = ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        groups = range(self._file.metadata.num_row_groups)
        self._ends = list(accumulate(self._file.metadata.row_group(group).num_rows for group in groups))
        self._name = column
        self._group = -1
        self._start = 0
        self._values: list[bytes | None] = []
        self._batches: Iterator[Any] = iter(())
        self._damaged: dict[int, int] = {}  # row group -> its first row that cannot be read

    def read(self, row: int) -> bytes | None:
        """Return the value in a row, counted over the whole file; None for null, or where there is no row."""
        group = bisect_right(self._ends, row)
        if group == len(self._ends):
            return None
        if row >= self._damaged.get(group, self._ends[-1]):
            raise OSError(f"{self._name} cannot be read from row {self._damaged[group]} on")
        if group != self._group or row < self._start:
            self._group, self._start, self._values = group, self._ends[group - 1] if group else 0, []
            self._batches = self._file.iter_batches(
                BATCH_ROWS, row_groups=[group], columns=[self._name], use_threads=False
            )
        while row >= self._start + len(self._values):
            self._start += len(self._values)
            self._values = []
            try:
                self._values = _bytes_of(next(self._batches))
            except Exception as error:  # what pyarrow raises on damage; without the note each row would retry
                self._group, self._damaged[group] = -1, self._start
                raise OSError(f"{self._name} cannot be read from row {self._start} on") from error
        return self._values[row - self._start]


def _bytes_of(batch: Any) -> list[bytes | None]:
    from pyarrow.types import is_struct

    [column] = batch.columns
    while is_struct(column.type):
        [column] = column.flatten()
    values: list[bytes | None] = column.to_pylist()
    return values
