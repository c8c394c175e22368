"""DeepFashion-MultiModal: people with DensePose part maps and descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from oft.datasets.annotations import DENSEPOSE_PARTS
from oft.datasets.layout import (
    captions_in,
    licence_tag,
    list_pictures,
    read_json_file,
    require_folder,
)
from oft.datasets.listings import paired
from oft.datasets.prompt_files import prompt_captions
from oft.datasets.reader import WORLD, Reader
from oft.datasets.splits import hashed_val, listed_names
from oft.errors import DataError
from oft.types import Counts, Example, Split

LAYOUT = (
    "DeepFashion-MultiModal's layout: images/*.jpg, densepose/<stem>_densepose.png, captions.json "
    "({file name: text}) and, optionally, the lists train.txt and val.txt; its licence forbids "
    "redistribution, so download and unpack it by hand"
)
LICENCE = "DeepFashion terms (non-commercial research)"
VAL_PERCENT = 5
_IDENTITY = re.compile(r".*?id_\d+")


def read_deepfashion(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the examples of a split, sorted by key; the annotation is DensePose's map, part ids in its third
    channel.

    The split is that of ``train.txt`` and ``val.txt`` (a file name a line; with one of the two lists the
    other split is the rest), else 5 % of the garments, chosen by a hash of their id, are ``val``: all views
    of one garment fall on the same side. Captions are those of ``captions.json``, or of
    ``prompt_{split}_blip.json`` where it is there.

    Args:
        root: the data set's folder.
        split: ``train`` or ``val``.
        counts: see `oft.datasets.listings.paired`.

    Raises:
        DataError: a folder or the captions are missing.
    """
    images = require_folder(root / "images", LAYOUT)
    annotations = require_folder(root / "densepose", LAYOUT)
    captions = prompt_captions(split, root) or _own_captions(root)
    pictures = list_pictures(images)
    licence = licence_tag(root, LICENCE)
    names = listed_names(root, split, pictures, _validation)
    for key, name, parts in paired(
        names, set(pictures), lambda name: annotations / f"{Path(name).stem}_densepose.png", counts
    ):
        yield Example(key, images / name, parts, captions.get(Path(name).stem, ()), split, licence)


def _own_captions(root: Path) -> dict[str, tuple[str, ...]]:
    path = root / "captions.json"
    content = read_json_file(path, LAYOUT)
    if not isinstance(content, dict):
        raise DataError(f"{path} must map file names to texts, got a {type(content).__name__}; {LAYOUT}")
    return {Path(name).stem: captions_in(text) for name, text in content.items()}


def _validation(pictures: list[str]) -> set[str]:
    garments = {name: _garment(name) for name in pictures}
    if len(set(garments.values())) == 1:  # its views are all there is to tell apart
        garments = {name: Path(name).stem for name in pictures}
    val = hashed_val(set(garments.values()), VAL_PERCENT)
    return {name for name, garment in garments.items() if garment in val}


def _garment(name: str) -> str:
    identity = _IDENTITY.match(name)
    return identity.group() if identity else Path(name).stem


READER = Reader(
    "deepfashion",
    "DeepFashion-MultiModal",
    read_deepfashion,
    brings=(DENSEPOSE_PARTS,),
    sources=(WORLD,),
    official="DeepFashion-MultiModal",
)
