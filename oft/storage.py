"""Files written whole or not at all, and their hashes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HASH_CHUNK_BYTES = 1 << 20


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty sibling folder that replaces ``target`` when the block ends without an error.

    An interrupted block leaves ``target`` as it was; what a killed one left behind is cleared by the next.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif target.exists() or target.is_symlink():
        target.unlink()
    partial.rename(target)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a sibling path whose file replaces ``target`` when the block ends without an error."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        yield partial
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    os.replace(partial, target)


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` as JSON, keys sorted, atomically: equal values give equal bytes."""
    with atomic_file(target) as partial:
        partial.write_text(
            json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_json(source: Path) -> Any:
    """Return the value in a JSON file."""
    return json.loads(Path(source).read_text(encoding="utf-8"))


def sha256_file(source: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with Path(source).open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fetch_remote(url: str, target: Path) -> None:
    """Copy a remote file, ``s3://bucket/key``, to ``target``."""
    import fsspec

    filesystem, key = fsspec.url_to_fs(url)
    filesystem.get_file(key, str(target))


def read_remote(url: str) -> bytes:
    """Return the bytes of a remote file."""
    import fsspec

    filesystem, key = fsspec.url_to_fs(url)
    content: bytes = filesystem.cat_file(key)
    return content
