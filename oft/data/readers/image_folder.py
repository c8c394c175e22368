"""Any folder of pictures, with or without captions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from oft.data.keys import sorted_keys
from oft.data.readers.layout import clean_captions, is_picture, licence_tag, require_folder
from oft.types import SPLITS, Counts, Example, Split

LAYOUT = (
    "a folder of pictures (jpg, png, webp, bmp, gif, tif), in subfolders or not, split into train/ and val/ "
    "or not, each with its caption in a text file of the same name or in its own name"
)
LICENCE = "unspecified"


def read_image_folder(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the pictures of a folder and its subfolders, sorted by key.

    Where there is a folder ``train`` or ``val`` at the top these are the splits, else everything is ``val``.
    The captions are the lines of the text file beside the picture (``name.txt`` beside ``name.jpg``), else
    the picture's name with ``-`` and ``_`` as spaces. Hidden files and folders are passed over.

    Raises:
        DataError: the folder is missing.
    """
    require_folder(root, LAYOUT)
    has_splits = any((root / name).is_dir() for name in SPLITS)
    if has_splits:
        names = _walk(root, root / split) if (root / split).is_dir() else []
    else:
        names = _walk(root, root) if split == "val" else []
    licence = licence_tag(root, LICENCE)
    for key, name in sorted_keys(names):
        counts.seen += 1
        path = root / name
        yield Example(key, path, None, _captions(path), split, licence)


def _walk(root: Path, top: Path) -> list[str]:
    names = []
    for folder, subfolders, files in os.walk(top):
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__"))]
        names += [(Path(folder) / name).relative_to(root).as_posix() for name in files if is_picture(name)]
    return names


def _captions(path: Path) -> tuple[str, ...]:
    sidecar = path.with_suffix(".txt")
    if sidecar.is_file():
        captions = clean_captions(sidecar.read_text(encoding="utf-8-sig", errors="replace").splitlines())
        if captions:
            return captions
    return clean_captions([path.stem.replace("-", " ").replace("_", " ")])
