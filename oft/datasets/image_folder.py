"""Any folder of pictures, with or without captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oft.datasets.caption_text import usable_captions
from oft.datasets.layout import is_picture, licence_tag, require_folder, walk
from oft.datasets.reader import Reader
from oft.keys import sorted_keys
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
    if split == "train" and not has_splits:
        return
    names = walk(root, is_picture, split if has_splits else "")
    licence = licence_tag(root, LICENCE)
    for key, name in sorted_keys(names):
        counts.seen += 1
        path = root / name
        yield Example(key, path, None, _captions(path), split, licence)


def _captions(path: Path) -> tuple[str, ...]:
    sidecar = path.with_suffix(".txt")
    if sidecar.is_file():
        captions = usable_captions(sidecar.read_text(encoding="utf-8-sig", errors="replace").splitlines())
        if captions:
            return captions
    return usable_captions([path.stem.replace("-", " ").replace("_", " ")])


READER = Reader("image_folder", "any folder of pictures", read_image_folder, sources=("photos",))
