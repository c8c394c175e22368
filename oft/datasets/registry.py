"""Readers by name; a reader's module is imported when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import cast, get_args

from oft.errors import DataError
from oft.settings.section import ReaderName
from oft.types import Counts, Example, Split

Reader = Callable[[Path, Split, Counts], Iterator[Example]]


def _lazy_reader(name: str) -> Reader:
    def read_lazily(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
        module = import_module(f"oft.datasets.{name}")
        return cast(Reader, getattr(module, f"read_{name}"))(root, split, counts)

    return read_lazily


READERS: dict[str, Reader] = {name: _lazy_reader(name) for name in get_args(ReaderName)}


def read(name: str, root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the examples of one split, sorted by key; nothing is decoded.

    Args:
        name: a key of `READERS`.
        root: the data set's folder, in its official layout.
        split: ``train`` or ``val``.
        counts: the reader adds to ``seen`` for each picture it lists and drops those without their twin, and
            as ``name_not_text`` those whose names are not UTF-8: nothing could be written about them.

    Raises:
        DataError: the reader is unknown, the folder misses what the layout demands, or cannot be looked into.
    """
    if name not in READERS:
        raise DataError(f"there is no reader named {name!r}; the readers are {', '.join(READERS)}")
    return _with_names(READERS[name](Path(root), split, counts), counts)


def _with_names(examples: Iterator[Example], counts: Counts) -> Iterator[Example]:
    for example in _readable(examples):
        try:
            example.image.name.encode()
        except UnicodeEncodeError:
            counts.drop("name_not_text", example.image.name)
        else:
            yield example


def _readable(examples: Iterator[Example]) -> Iterator[Example]:
    try:
        yield from examples
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}); give this user the right to, or correct "
            "the path"
        ) from error
