"""Random access to the samples of shards, in a folder or a bucket.

The shards are webdataset's and `webdataset.WebDataset` reads them, but as streams: where a stream stands
after some steps depends on how many workers and ranks share it, and it cannot be gone back to. Here a sample
has a number, which batches are made of (oft/shards/order.py), so a training resumes in mid-epoch at the very
next batch and any number of workers reads the same ones.
"""

from __future__ import annotations

import tarfile
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from oft.errors import DataError
from oft.shards.shards import Sample, to_sample
from oft.shards.store import Entry, ShardSpan, ShardStore
from oft.types import Split

MEMBERS = ("jpg", "png", "cond.png", "labels.png", "json")
"""What a sample may consist of, by extension."""

ABSENT = -1


@dataclass(frozen=True)
class _Places:
    """Where the members of a shard's samples lie in it.

    Attributes:
        keys: of the samples, ASCII [n].
        extents: first byte and length of each of ``MEMBERS``, int64 [n, 5, 2]; both ``ABSENT`` where a sample
            has none.
    """

    keys: NDArray[np.bytes_]
    extents: NDArray[np.int64]


class ShardReader:
    """The samples of a split by number, 0 to ``len(reader) - 1``, in the order they were written.

    It holds no file open and some 80 bytes a sample, so that processes may be forked or spawned with it and
    memory does not grow with what is read. A shard is fetched (from a bucket), verified and scanned when a
    process first reads from it.

    Args:
        store: where the shards lie.
        split: ``train`` or ``val``.

    Raises:
        DataError: the index is missing or damaged or has no such split; when reading, a shard is missing or
            corrupted.
    """

    def __init__(self, store: ShardStore, split: Split) -> None:
        self.name = f"{store.name} ({split})"
        self._store = store
        self._entries = store.entries(split)
        self._places: dict[int, _Places] = {}
        self._ends: list[int] = []
        self.shards: list[ShardSpan] = []
        end = 0
        for entry in self._entries:
            start, end = end, end + int(entry["num_samples"])
            size = entry.get("size_px")
            self.shards.append(ShardSpan(range(start, end), (size[0], size[1]) if size else None))
            self._ends.append(end)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def shard_name(self, shard: int) -> str:
        """Return the file name of a shard, by its place in ``shards``."""
        return str(self._entries[shard]["name"])

    def key(self, number: int) -> str:
        """Return the key of a sample."""
        shard, row = self._locate(number)
        return self._shard_places(shard).keys[row].decode()

    def read(self, number: int, members: Collection[str] = MEMBERS) -> dict[str, bytes]:
        """Return the encoded members of a sample by extension: those of ``members`` that it has."""
        shard, row = self._locate(number)
        extents = self._shard_places(shard).extents[row]
        with self._store.open(self._entries[shard]) as stream:
            return {
                name: _read(stream, int(start), int(length))
                for name, (start, length) in zip(MEMBERS, extents, strict=True)
                if name in members and start != ABSENT
            }

    def sample(self, number: int) -> Sample:
        """Return a whole sample, still encoded."""
        return to_sample(self.name, self.key(number), self.read(number))

    def _locate(self, number: int) -> tuple[int, int]:
        if not 0 <= number < len(self):
            raise IndexError(f"{self.name} has {len(self)} samples, there is no number {number}")
        shard = bisect_right(self._ends, number)
        return shard, number - self.shards[shard].samples.start

    def _shard_places(self, shard: int) -> _Places:
        if shard not in self._places:
            entry = self._entries[shard]
            with self._store.open(entry) as stream:
                self._places[shard] = _scan(stream, entry, self.name)
        return self._places[shard]


def _read(stream: BinaryIO, start: int, length: int) -> bytes:
    stream.seek(start)
    return stream.read(length)


def _scan(stream: BinaryIO, entry: Entry, where: str) -> _Places:
    """Read a shard's headers alone."""
    rows: dict[str, int] = {}
    extents = np.full((int(entry["num_samples"]), len(MEMBERS), 2), ABSENT, np.int64)
    with tarfile.open(fileobj=stream) as archive:
        for member in archive:
            key, _, extension = member.name.partition(".")
            row = rows.setdefault(key, len(rows))
            if row < len(extents) and extension in MEMBERS:
                extents[row, MEMBERS.index(extension)] = member.offset_data, member.size
    if len(rows) != len(extents):
        raise DataError(
            f"{where}: {entry['name']} holds {len(rows)} samples and its index says {len(extents)}; "
            "make the shards again"
        )
    return _Places(np.array([key.encode() for key in rows]), extents)
