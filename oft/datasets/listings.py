"""Pictures by listings, and with what belongs to each: annotation, captions, conditioning picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from oft.datasets.layout import file_below
from oft.keys import sorted_keys
from oft.types import Counts, Example, Split


@dataclass
class Listed:
    """What a listing says about a picture; several lines may hold a caption each."""

    annotation: str | None
    captions: tuple[str, ...] = ()


def paired(
    names: Iterable[str], present: Set[str], annotation_of: Callable[[str], Path], counts: Counts
) -> Iterator[tuple[str, str, Path]]:
    """Yield key, name and annotation of the pictures that have one, sorted by key.

    Args:
        names: of the pictures listed.
        present: names of those that have a file.
        annotation_of: where the annotation of a picture must be.
        counts: listed pictures without a file are dropped as ``missing``, those without annotation as
            ``annotation_missing``.
    """
    for key, name in sorted_keys(names):
        counts.seen += 1
        annotation = annotation_of(name)
        if name not in present:
            counts.drop("missing", name)
        elif not annotation.is_file():
            counts.drop("annotation_missing", name)
        else:
            yield key, name, annotation


def read_listed(
    root: Path,
    listed: Mapping[str, Listed],
    split: Split,
    split_of: Callable[[str], Split | None],
    licence: str,
    counts: Counts,
) -> Iterator[Example]:
    """Yield the listed pictures of a split, sorted by key.

    Args:
        root: the folder that names in the listing start from.
        listed: what is known of each picture, by its path below ``root``; annotations likewise.
        split: ``train`` or ``val``.
        split_of: the split a picture belongs to.
        licence: the licence tag.
        counts: pictures are dropped as ``outside`` (the name leads out of ``root``; it is never opened) and
            ``missing``, or the same behind ``annotation_``.
    """
    for key, name in sorted_keys(listed):  # of all splits: no two pictures share a key
        if split_of(name) != split:
            continue
        counts.seen += 1
        image, fault = _locate(root, name)
        if image is None:
            counts.drop(fault, name)
            continue
        about = listed[name]
        annotation = None
        if about.annotation is not None:
            annotation, fault = _locate(root, about.annotation)
            if annotation is None:
                counts.drop(f"annotation_{fault}", about.annotation)
                continue
        yield Example(key, image, annotation, about.captions, split, licence)


def _locate(root: Path, name: str) -> tuple[Path | None, str]:
    path = file_below(root, name)
    if path is None:
        return None, "outside"
    return (path, "") if os.path.isfile(path) else (None, "missing")
