"""Prepared samples of a split before their captions: one tar a picture size, read and written in one go.

Many small files are slow on object stores. The tars have the members of shards (see oft/shards/shards.py);
``<split>.json`` says what they hold and how it was made.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oft.errors import DataError
from oft.pictures import Size
from oft.shards.shards import Sample, add_sample, picture_size, to_sample
from oft.shards.tars import read_groups
from oft.storage import read_json, write_json
from oft.types import Split


@dataclass(frozen=True)
class PreparedSplit:
    """What a split's samples were made with, and they themselves, a stream that is read once."""

    made_with: dict[str, Any]
    samples: Iterator[Sample]


def write_prepared(
    folder: Path, split: Split, samples: Iterable[Sample], made_with: Mapping[str, Any]
) -> None:
    """Write the samples of a split, streamed; bytes depend on the samples and their order alone.

    Args:
        folder: where tars and ``<split>.json`` go.
        split: ``train`` or ``val``.
        samples: with keys that are unique in the split.
        made_with: JSON values, kept beside them.
    """
    counts: dict[Size, int] = {}
    with ExitStack() as opened:
        archives: dict[Size, tarfile.TarFile] = {}
        for sample in samples:
            size = picture_size(sample)
            if size not in archives:
                path = folder / _tar_name(split, size)
                archives[size] = opened.enter_context(tarfile.open(path, "w", format=tarfile.USTAR_FORMAT))
            add_sample(archives[size], sample)
            counts[size] = counts.get(size, 0) + 1
    parts = [
        {"name": _tar_name(split, size), "num_samples": count, "size_px": list(size)}
        for size, count in sorted(counts.items())
    ]
    write_json(folder / f"{split}.json", {"made_with": dict(made_with), "parts": parts})


def read_prepared(folder: Path, split: Split) -> PreparedSplit:
    """Return what a split's samples were made with, and a stream of them, those of one size together.

    Raises:
        DataError: at once or in the stream: a file is missing, damaged or cut short.
    """
    index = folder / f"{split}.json"
    try:
        listed = read_json(index)
        made_with, parts = dict(listed["made_with"]), list(listed["parts"])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise _unreadable(index, fault) from fault
    return PreparedSplit(made_with, _read_parts(folder, parts))


def _read_parts(folder: Path, parts: list[dict[str, Any]]) -> Iterator[Sample]:
    for part in parts:
        path, found = folder / part["name"], 0
        try:
            for key, files in read_groups(path):
                yield to_sample(str(path), key, files)
                found += 1
            if found != part["num_samples"]:
                raise tarfile.ReadError(f"it has {found} samples of {part['num_samples']}")
        except (tarfile.TarError, OSError, ValueError, DataError) as fault:
            raise _unreadable(path, fault) from fault


def _tar_name(split: Split, size: Size) -> str:
    return f"{split}-{size[0]}x{size[1]}.tar"


def _unreadable(path: Path, fault: Exception) -> DataError:
    return DataError(
        f"{path}: cannot be read ({fault}); make it again with `dvc repro --force extract@{path.parent.name}`"
    )
