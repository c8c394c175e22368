"""Any folder of pictures, with or without captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oft.datasets.caption_text import usable_captions
from oft.datasets.layout import is_picture, licence_tag, require_folder, walk
from oft.datasets.reader import Reader
from oft.datasets.splits import hashed_val
from oft.keys import sorted_keys
from oft.types import SPLITS, Counts, Example, Split

LAYOUT = (
    "a folder of pictures (jpg, png, webp, bmp, gif, tif), in subfolders or not, split into train/ and val/ "
    "or not, each with its caption in a text file of the same name or in its own name"
)
LICENCE = "unspecified"
VAL_PERCENT = 5


def read_image_folder(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the pictures of a folder and its subfolders, sorted by key.

    Where there are folders ``train`` and ``val`` at the top these are the splits; of ``train`` alone 5 % are
    ``val``, by a hash of their names; without either everything is ``val``. The captions are the lines of the
    text file beside the picture (``name.txt`` beside ``name.jpg``), else the picture's name with ``-`` and
    ``_`` as spaces. Hidden files and folders are passed over.

    Raises:
        DataError: the folder is missing.
    """
    require_folder(root, LAYOUT)
    names = _names_of(root, split)
    licence = licence_tag(root, LICENCE)
    for key, name in sorted_keys(names):
        counts.seen += 1
        path = root / name
        yield Example(key, path, None, _captions(path), split, licence)


def _names_of(root: Path, split: Split) -> list[str]:
    has_train, has_val = ((root / name).is_dir() for name in SPLITS)
    if has_train and not has_val:
        names = walk(root, is_picture, "train")
        val = hashed_val(names, VAL_PERCENT)
        return [name for name in names if (name in val) == (split == "val")]
    if has_val:
        return walk(root, is_picture, split)
    return walk(root, is_picture) if split == "val" else []


def _captions(path: Path) -> tuple[str, ...]:
    sidecar = path.with_suffix(".txt")
    if sidecar.is_file():
        captions = usable_captions(sidecar.read_text(encoding="utf-8-sig", errors="replace").splitlines())
        if captions:
            return captions
    return usable_captions([path.stem.replace("-", " ").replace("_", " ")])


READER = Reader("image_folder", "any folder of pictures", read_image_folder, sources=("photos",))
