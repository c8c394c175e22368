"""Where shards lie: in a folder, or in a bucket and, as they are used, in a bounded local cache."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
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
from oft.storage import atomic_file, fetch_remote, file_lock, is_remote, read_remote, sha256_file
from oft.types import Split

ADDRESS = "OFT_SHARDS"
"""The variable that says where shards lie, if not in their folders; no setting, as it changes no result."""

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


def open_shards(folder: Path, cache: Path) -> ShardStore:
    """Return the shards of a folder or, where the environment has OFT_SHARDS=s3://bucket/prefix, those of the
    folder of the same name there, kept in ``cache`` once they were used: an epoch uses all of them.

    Raises:
        DataError: OFT_SHARDS is no address on S3, or the index is missing or damaged.
    """
    address = os.environ.get(ADDRESS)
    if not address:
        return ShardFolder(folder)
    if not is_remote(address):  # it is not repeated: it may hold a password
        raise DataError(
            f"{ADDRESS} must be s3://bucket/prefix, where the folder {folder.name} lies; correct or unset it"
        )
    return RemoteShards(f"{address.rstrip('/')}/{folder.name}", ShardCache(cache))


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
        return self._cache.open(f"{self.name}/{entry['name']}", entry["sha256"], self._remedy)


class ShardCache:
    """A folder that keeps the shards used last. Any number of processes may share it.

    A file is named by its hash, so that shards of several addresses never meet, and is opened for each read:
    a shard that another process removes meanwhile is read to its end, or fetched again.

    Args:
        folder: where the shards are kept, of this cache alone.
        max_bytes: how much is kept, the shard that came last in any case; one more is there while it arrives.
            All is kept without it.
    """

    def __init__(self, folder: Path, max_bytes: float = math.inf) -> None:
        self._folder = Path(folder)
        self._max_bytes = max_bytes
        self._verified: set[str] = set()

    def open(self, url: str, sha256: str, remedy: str) -> BinaryIO:
        """Return the file at ``url``, fetched if it is not kept.

        Raises:
            DataError: what was fetched has another hash; ``remedy`` ends the message.
        """
        path = self._folder / f"{sha256}.tar"
        stream = self._open_kept(path, sha256)
        if stream is not None:
            return stream
        with file_lock(self._folder / "lock"):
            stream = self._open_kept(path, sha256)  # another process may have fetched it meanwhile
            if stream is not None:
                return stream
            with atomic_file(path) as partial:
                fetch_remote(url, partial)
                found = sha256_file(partial)
                if found != sha256:
                    raise corrupted_shard(url, found, sha256, remedy)
            self._verified.add(sha256)
            self._evict(keep=path)
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

    def _evict(self, keep: Path) -> None:
        kept = {path: path.stat() for path in self._folder.glob("*.tar")}
        excess = sum(status.st_size for status in kept.values()) - self._max_bytes
        for path, status in sorted(kept.items(), key=lambda item: item[1].st_mtime_ns):
            if excess <= 0:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                excess -= status.st_size
