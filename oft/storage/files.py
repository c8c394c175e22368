"""Files written whole or not at all, their hashes, and the room for them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oft.errors import DataError

CHUNK_BYTES = 1 << 20


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
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def require_space(needed_bytes: Mapping[Path, int]) -> None:
    """Return if the disks of some folders, which need not exist yet, have that much room for them together.

    Raises:
        DataError: a disk has less.
    """
    disks: defaultdict[int, list[Path]] = defaultdict(list)
    for folder in needed_bytes:
        disks[_existing(folder).stat().st_dev].append(folder)
    for folders in disks.values():
        needed = sum(needed_bytes[folder] for folder in folders)
        free = shutil.disk_usage(_existing(folders[0])).free
        if free < needed:
            raise DataError(
                f"{' and '.join(map(str, folders))}: {needed / 1e9:.2f} GB of room are needed and the disk "
                f"has {free / 1e9:.2f} GB free; make room or put the repository on a larger disk"
            )


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())


@contextmanager
def translate_enospc(target: Path, remedy: str = "make room and run again") -> Iterator[None]:
    """Turn a write that fails for want of room, on the disk or in the user's quota, into a `DataError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(f"the disk is full: {target} cannot be written; {remedy}") from error


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by a point."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
