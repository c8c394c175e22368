"""Extracted conditions of one split, in one tar: many small files are slow on object stores."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oft.data.pictures import encode_png
from oft.data.tars import add_member
from oft.errors import DataError
from oft.storage import atomic_file

CONDITION_SUFFIX = ".cond.png"
LABELS_SUFFIX = ".labels.png"
# The last member, so that a file cut short between two others is noticed: its content is their number.
COUNT_NAME = "count"

Extracted = tuple[str, NDArray[np.uint8], NDArray[np.integer] | None]


def write_conditions(target: Path, extracted: Iterable[Extracted]) -> None:
    """Write keys, conditioning images and id maps, whole or not at all."""
    count = 0
    with atomic_file(target) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
        for key, condition, labels in extracted:
            # The id map goes first: whoever reads a conditioning image then has all of its sample.
            if labels is not None:
                add_member(archive, key + LABELS_SUFFIX, encode_png(labels.astype(np.uint8)))
            add_member(archive, key + CONDITION_SUFFIX, encode_png(condition))
            count += 1
        add_member(archive, COUNT_NAME, str(count).encode())


def read_conditions(source: Path) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Yield each key with its encoded conditioning image and id map, in the order they were written.

    Raises:
        DataError: the file is missing, damaged or cut short.
    """
    found, expected, labels = 0, -1, None
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                data = stream.read() if stream else b""
                if member.name == COUNT_NAME:
                    expected = int(data)
                elif member.name.endswith(LABELS_SUFFIX):
                    labels = data
                else:
                    yield member.name.removesuffix(CONDITION_SUFFIX), data, labels
                    found, labels = found + 1, None
        if found != expected:
            raise tarfile.ReadError("it was cut short")
    except (tarfile.TarError, OSError) as fault:
        raise DataError(
            f"{source}: cannot be read ({fault}); "
            f"make it again with `dvc repro --force extract@{source.parent.name}`"
        ) from fault
