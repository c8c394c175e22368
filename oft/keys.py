"""Keys: one stable name for each picture, fit for a shard, whatever its file is called."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from oft.errors import DataError

if TYPE_CHECKING:
    from oft.types import Example

MAX_KEY_CHARS = 80
"""With the longest suffix of a shard member this stays within the 100 characters of a plain tar header."""

KEY_PATTERN = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY_CHARS}}}")

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]+")
_HASH_CHARS = 8
_FLIPPED = "-flipped"
_ROW_DIGITS = 8


def stable_hash(text: str) -> str:
    """Return the hexadecimal SHA-256 of a text in Unicode's composed form, the same on every machine."""
    return hashlib.sha256(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")).hexdigest()


def picture_key(name: str) -> str:
    """Return the key of a picture from its path below the data set, with forward slashes.

    Folders are joined with ``-``, other characters than ``[A-Za-z0-9_-]`` become ``_``. A name too long for a
    tar header, or without one usable character, ends in a hash of itself.
    """
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    parts = path.with_suffix("").parts if path.name else ()
    key = "-".join(_FORBIDDEN.sub("_", part) for part in parts)
    if not any(character.isalnum() for character in key):
        return f"picture-{stable_hash(name)[:_HASH_CHARS]}"
    if len(key) > MAX_KEY_CHARS:
        return f"{key[: MAX_KEY_CHARS - _HASH_CHARS - 1]}-{stable_hash(name)[:_HASH_CHARS]}"
    return key


def flipped_key(key: str) -> str:
    """Return the key of a picture's mirror image: the picture's, cut short where it must be, and a suffix."""
    return _with_suffix(key, _FLIPPED)


def repeated_key(key: str, repeat: int) -> str:
    """Return the key under which a picture stands in a data set again; the first time (0) it has its own."""
    return _with_suffix(key, f"-again{repeat}") if repeat else key


def _with_suffix(key: str, suffix: str) -> str:
    if len(key) + len(suffix) <= MAX_KEY_CHARS:
        return key + suffix
    kept = MAX_KEY_CHARS - _HASH_CHARS - 1 - len(suffix)
    return f"{key[:kept]}-{stable_hash(key)[:_HASH_CHARS]}{suffix}"


def row_key(key: str, row: int) -> str:
    """Return the key of a row of the file that has a key; rows are in order of their keys."""
    room = MAX_KEY_CHARS - _ROW_DIGITS - 1
    kept = key if len(key) <= room else f"{key[: room - _HASH_CHARS - 1]}-{stable_hash(key)[:_HASH_CHARS]}"
    return f"{kept}-{row:0{_ROW_DIGITS}d}"


def distinct(examples: Iterable[Example], keys: set[str]) -> Iterator[Example]:
    """Yield examples and add their keys to those of the data set's other examples.

    Raises:
        DataError: a key is there already; readers give each picture of a split its own.
    """
    for example in examples:
        if example.key in keys:
            raise DataError(
                f"{example.image.name} of {example.split} has the key {example.key!r}, as another picture "
                "has; keys come from the names of files and tell pictures apart; rename one of the two"
            )
        keys.add(example.key)
        yield example


def sorted_keys(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return (key, name) of every picture, sorted by key, keys unique.

    Of names that give the same key (``a b.jpg`` and ``a_b.jpg``) the first in sorted order keeps it; the
    others end in a hash of their name.
    """
    owners: dict[str, str] = {}
    for name in sorted(set(names)):
        key = picture_key(name)
        if key in owners:
            key = f"{key[: MAX_KEY_CHARS - _HASH_CHARS - 1]}-{stable_hash(name)[:_HASH_CHARS]}"
        owners[key] = name
    return sorted(owners.items())
