"""Readers by name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from oft.datasets.reader import RENDERED_SOURCES, Reader
from oft.errors import DataError
from oft.types import Counts, Example, Split


def _declared() -> Iterator[Reader]:
    """Yield the reader of each module of this folder that declares one, in order of the modules' names."""
    for found in iter_modules([str(Path(__file__).parent)], "oft.datasets."):
        if found.name != __name__ and hasattr(module := import_module(found.name), "READER"):
            yield module.READER


READERS: dict[str, Reader] = {reader.name: reader for reader in _declared()}
"""All readers; a file in this folder adds one by ``READER``, code from elsewhere by an entry here."""


def readers_of_sources() -> dict[str, tuple[str, ...]]:
    """Return the readers of the layouts that each source can give; a folder of the user's can have any."""
    sources = dict.fromkeys(source for reader in READERS.values() for source in reader.sources)
    return {
        source: tuple(name for name, reader in READERS.items() if source in reader.sources)
        for source in sources
    }


def find_reader(name: str) -> Reader:
    """Return the reader of that name.

    Raises:
        DataError: there is none.
    """
    if name not in READERS:
        raise DataError(f"there is no reader named {name!r}; the readers are {', '.join(READERS)}")
    return READERS[name]


def dataset_title(name: str, reader: str, source: str) -> str:
    """Return what readers of a page, table or card call a data set: what it is, never what it looks like.

    A published data set has its name where it was downloaded and checked. Of the miniature world, or of a
    folder of the user's, the layout alone is known.

    Args:
        name: its name in params, which may be anything.
        reader: the reader of its layout.
        source: where it comes from, ``acquire.source``.
    """
    official = find_reader(reader).official
    layout = f", in {official}'s layout" if official else ""
    if source in RENDERED_SOURCES:
        return f"miniature world{layout}"
    match source:
        case "photos":
            return "photographs of scikit-image and scikit-learn"
        case "download":
            return official or name
        case _:
            return f"own {'bucket' if '://' in source else 'folder'} “{name}”{layout}"


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
    return _with_names(find_reader(name).read(Path(root), split, counts), counts)


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
