"""Where shards lie: in a folder, or in a bucket and, as they are used, in a bounded local cache."""

from __future__ import annotations

import hashlib
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from oft.errors import DataError
from oft.pictures import Size
from oft.shards.shards import (
    INDEX_NAME,
    corrupted_shard,
    parse_index,
    read_index,
    shard_entries,
    split_entries,
    verify_shard,
)
from oft.storage import (
    atomic_file,
    fetch_remote,
    file_lock,
    is_remote,
    read_remote,
    require_space,
    sha256_file,
)
from oft.types import Split

ADDRESS = "OFT_SHARDS"
"""The variable that says where shards lie, if not in their folders; no setting, as it changes no result."""
ROOM = "OFT_SHARDS_GB"
"""The variable that bounds the cache of shards from elsewhere, in gigabytes (10^9 bytes)."""

Entry = Mapping[str, Any]
"""What the index says of a shard."""


@dataclass(frozen=True)
class ShardSpan:
    """The samples of one shard by number in their split, and the size of their pictures where it is given."""

    samples: range
    size_px: Size | None = None


@runtime_checkable
class ShardStore(Protocol):
    """Shards that lie somewhere. ``name`` says where, ``index_sha256`` tells one content from another."""

    name: str
    index_sha256: str

    def splits(self) -> list[Split]:
        """Return the splits there are."""

    def entries(self, split: Split) -> list[dict[str, Any]]:
        """Return what the index says of the shards of a split."""

    def open(self, entry: Entry) -> BinaryIO:
        """Return a shard, verified when this process opens it for the first time."""

    def plan_room(self, split: Split, window: int | None) -> str:
        """Return in a sentence what reading in ``windowed_order`` fetches and keeps on disk, if anything.

        Raises:
            DataError: there is no room for it.
        """


def open_shards(folder: Path, cache: Path) -> ShardStore:
    """Return the shards of a folder or, where the environment has OFT_SHARDS=s3://bucket/prefix, those of the
    folder of the same name there, kept in ``cache`` once they were used: all of them, or those used last that
    fit into OFT_SHARDS_GB.

    Raises:
        DataError: OFT_SHARDS is no address on S3, OFT_SHARDS_GB no number above 0, or the index is missing or
            damaged.
    """
    address = os.environ.get(ADDRESS)
    if not address:
        return ShardFolder(folder)
    if not is_remote(address):  # it is not repeated: it may hold a password
        raise DataError(
            f"{ADDRESS} must be s3://bucket/prefix, where the folder {folder.name} lies; correct or unset it"
        )
    return RemoteShards(f"{address.rstrip('/')}/{folder.name}", ShardCache(cache, _room_bytes()))


def _room_bytes() -> float:
    given = os.environ.get(ROOM, "inf")
    try:
        room = float(given) * 1e9
    except ValueError:
        room = math.nan
    if not room > 0:
        raise DataError(f"{ROOM} must be a number of gigabytes above 0, got {given!r}; correct or unset it")
    return room


class ShardFolder:
    """Shards in a local folder.

    Raises:
        DataError: here, the index is missing or damaged; from ``open``, a shard is.
    """

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = Path(folder)
        self._index = read_index(self._folder)
        self.index_sha256 = sha256_file(self._folder / INDEX_NAME)
        self._verified: set[str] = set()

    def splits(self) -> list[Split]:
        return sorted(self._index["splits"])

    def entries(self, split: Split) -> list[dict[str, Any]]:
        return shard_entries(self._folder, split)

    def open(self, entry: Entry) -> BinaryIO:
        if entry["name"] not in self._verified:
            verify_shard(self._folder, entry)
            self._verified.add(entry["name"])
        return (self._folder / entry["name"]).open("rb")

    def plan_room(self, split: Split, window: int | None) -> str:
        return ""


class RemoteShards:
    """Shards under an address such as ``s3://bucket/prefix``, fetched whole when they are first used.

    Args:
        url: where the index and the shards are.
        cache: where fetched shards are kept.
    """

    def __init__(self, url: str, cache: ShardCache) -> None:
        self.name = url.rstrip("/")
        self._cache = cache
        content = read_remote(f"{self.name}/{INDEX_NAME}")
        self.index_sha256 = hashlib.sha256(content).hexdigest()
        self._remedy = f"copy the folder of shards to {self.name} again"
        self._index = parse_index(content, f"{self.name}/{INDEX_NAME}", self._remedy)

    def splits(self) -> list[Split]:
        return sorted(self._index["splits"])

    def entries(self, split: Split) -> list[dict[str, Any]]:
        return split_entries(self._index, split, f"{self.name}/{INDEX_NAME}", self._remedy)

    def open(self, entry: Entry) -> BinaryIO:
        return self._cache.open(f"{self.name}/{entry['name']}", entry, self._remedy)

    def plan_room(self, split: Split, window: int | None) -> str:
        entries = self.entries(split)
        in_use, everything = _bytes_in_use(entries, window), _bytes_in_use(entries, None)
        if in_use > self._cache.max_bytes:
            fitting = max(
                filter(lambda w: _bytes_in_use(entries, w) <= self._cache.max_bytes, range(1, len(entries))),
                default=None,
            )
            remedy = (
                f"set training.shuffle_window_shards to {fitting} or less in params.yaml, or raise {ROOM}"
                if fitting
                else f"raise {ROOM} to {_bytes_in_use(entries, 1) / 1e9:.3f} or more, or make smaller shards"
            )
            raise DataError(
                f"{self.name} ({split}): {ROOM} ({self._cache.max_bytes / 1e9:g}) must hold the shards in "
                f"use at a time, {in_use / 1e9:.3f} GB; {remedy}"
            )
        kept = min(everything, self._cache.max_bytes)
        self._cache.require_room(kept)
        return (
            f"{self.name} ({split}): {everything / 1e9:.3f} GB in {len(entries)} shards, fetched as they are "
            f"used; at most {kept / 1e9:.3f} GB of them on disk, in {self._cache.folder}"
        )


def _bytes_in_use(entries: Iterable[Entry], window: int | None) -> int:
    """Return how many bytes of shards ``windowed_order`` has in use at a time, or that all take.

    Of each picture size two windows, the largest that can meet: a batch may reach from one into the next,
    and what is read ahead is there first.
    """
    sizes: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for entry in entries:
        sizes[tuple(entry.get("size_px") or ())].append(int(entry["size_bytes"]))
    count = None if window is None else 2 * window
    return sum(sum(sorted(bucket, reverse=True)[:count]) for bucket in sizes.values())


class ShardCache:
    """A folder that keeps the shards used last. Any number of processes may share it.

    A file is named by its hash, so that shards of several addresses never meet, and is opened for each read:
    a shard that another process removes meanwhile is read to its end, or fetched again.

    Args:
        folder: where the shards are kept, of this cache alone.
        max_bytes: how much is on disk at most, what just arrives too; a shard larger than that has it to
            itself. All is kept without it.
    """

    def __init__(self, folder: Path, max_bytes: float = math.inf) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._verified: set[str] = set()

    def require_room(self, needed_bytes: float) -> None:
        """Return if the disk can hold so much of shards, those that are there counted in.

        Raises:
            DataError: it cannot.
        """
        kept = sum(status.st_size for status in self._kept().values())
        require_space({self.folder: max(0, math.ceil(needed_bytes - kept))})

    def open(self, url: str, entry: Entry, remedy: str) -> BinaryIO:
        """Return the shard at ``url``, of which the index has ``entry``; it is fetched if it is not kept.

        Raises:
            DataError: what was fetched has another hash; ``remedy`` ends the message.
        """
        sha256 = entry["sha256"]
        path = self.folder / f"{sha256}.tar"
        stream = self._open_kept(path, sha256)
        if stream is not None:
            return stream
        with file_lock(self.folder / "lock"):
            stream = self._open_kept(path, sha256)  # another process may have fetched it meanwhile
            if stream is not None:
                return stream
            self._make_room(int(entry["size_bytes"]), path)
            with atomic_file(path) as partial:
                fetch_remote(url, partial)
                found = sha256_file(partial)
                if found != sha256:
                    raise corrupted_shard(url, found, sha256, remedy)
            self._verified.add(sha256)
            return path.open("rb")

    def _open_kept(self, path: Path, sha256: str) -> BinaryIO | None:
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            return None
        if sha256 not in self._verified:
            if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                stream.close()
                return None
            stream.seek(0)
            self._verified.add(sha256)
        os.utime(stream.fileno())  # what was used last goes last
        return stream

    def _make_room(self, arriving_bytes: int, path: Path) -> None:
        """Remove the shards used longest ago until one more fits, and what killed processes had begun."""
        for partial in self.folder.glob(".*.partial"):  # whoever holds the lock fetches alone
            partial.unlink(missing_ok=True)
        path.unlink(missing_ok=True)  # damaged, or it would have been opened
        kept = self._kept()
        excess = sum(status.st_size for status in kept.values()) + arriving_bytes - self.max_bytes
        for oldest, status in sorted(kept.items(), key=lambda item: item[1].st_mtime_ns):
            if excess <= 0:
                return
            oldest.unlink(missing_ok=True)
            excess -= status.st_size

    def _kept(self) -> dict[Path, os.stat_result]:
        """Return the shards that are kept; one that another process removes meanwhile may be left out."""
        kept = {}
        for path in self.folder.glob("*.tar"):
            with suppress(FileNotFoundError):
                kept[path] = path.stat()
        return kept
