"""Any folder of pictures, with or without captions; kohya's folders of repeats and class words among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from math import gcd
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from oft.datasets.caption_text import usable_captions, words_of_name
from oft.datasets.layout import is_picture, licence_tag, read_text_file, require_folder, walk
from oft.datasets.reader import Reader
from oft.datasets.splits import hashed_val
from oft.keys import repeated_key, sorted_keys
from oft.types import SPLITS, Counts, Example, Split

LAYOUT = (
    "a folder of pictures, in subfolders or not, split into train/ and val/ or not, each with its caption in "
    "a text file of the same name (.txt or .caption) or in its own name; or kohya's folders (10_sks dog)"
)
LICENCE = "unspecified"
VAL_PERCENT = 5
SIDECAR_SUFFIXES = (".txt", ".caption")

_KOHYA_FOLDER = re.compile(r"(?P<repeats>[1-9]\d{0,2})_(?P<words>.*\S.*)")


class _Concept(NamedTuple):
    """What kohya's trainers read from a folder's name: how often its pictures come, and token and class."""

    repeats: int
    words: str


def read_image_folder(
    root: Path, split: Split, counts: Counts, *, train_on_unsplit: bool = False
) -> Iterator[Example]:
    """Yield the pictures of a folder and its subfolders, sorted by key.

    Where there are folders ``train`` and ``val`` at the top these are the splits; of ``train`` alone, and of
    kohya's folders, 5 % are ``val``, by a hash of their names; without any everything is ``val``.

    The captions are the lines of the text file beside the picture (``name.txt`` or ``name.caption`` beside
    ``name.jpg``), else token and class of kohya's folder, else the picture's name in words, if it has any.
    Hidden files and folders are passed over.

    Where all pictures to train on lie in kohya's folders (``10_sks dog``), a picture to train on comes as
    often as its folder says, in proportion: of ``10_sks dog`` and ``20_sks cat`` cats come twice.

    Args:
        train_on_unsplit: a folder without splits is as one of ``train`` alone.

    Raises:
        DataError: the folder is missing, or a text file is no text.
    """
    require_folder(root, LAYOUT)
    names, concepts = _split_names(root, train_on_unsplit)
    licence = licence_tag(root, LICENCE)
    shared = reduce(gcd, (concept.repeats for concept in concepts.values()), 0)
    listed = []
    for key, name in sorted_keys(names[split]):
        concept = _concept_of(name, concepts)
        num_repeats = concept.repeats // shared if concept and split == "train" else 1
        listed += [(repeated_key(key, repeat), name, concept) for repeat in range(num_repeats)]
    for key, name, concept in sorted(listed):
        counts.seen += 1
        path = root / name
        words = concept.words if concept else words_of_name(path.stem)
        yield Example(key, path, None, _captions(path, words), split, licence)


def _split_names(root: Path, train_on_unsplit: bool) -> tuple[dict[Split, list[str]], dict[str, _Concept]]:
    """Return the pictures of each split, and kohya's folders among those to train on."""
    has_train, has_val = ((root / name).is_dir() for name in SPLITS)
    below = "train" if has_train else ""
    present = walk(root, is_picture, below) if has_train or not has_val else []
    concepts = _find_concepts(present, below)
    if has_val:
        return {"train": present, "val": walk(root, is_picture, "val")}, concepts
    if not (has_train or concepts or train_on_unsplit):
        return {"train": [], "val": present}, {}
    val = hashed_val(present, VAL_PERCENT)
    return {"train": [name for name in present if name not in val], "val": sorted(val)}, concepts


def _find_concepts(names: list[str], below: str) -> dict[str, _Concept]:
    """Return kohya's folders by their paths; none if some of the pictures lie elsewhere."""
    inner = (PurePosixPath(name).relative_to(below) for name in names)
    folders = {path.parts[0] if len(path.parts) > 1 else "" for path in inner}
    matches = {folder: match for folder in folders if (match := _KOHYA_FOLDER.fullmatch(folder))}
    if len(matches) < len(folders):
        return {}
    return {
        (PurePosixPath(below) / folder).as_posix(): _Concept(
            int(match["repeats"]), match["words"].replace("_", " ")
        )
        for folder, match in matches.items()
    }


def _concept_of(name: str, concepts: dict[str, _Concept]) -> _Concept | None:
    return next((concepts[str(top)] for top in PurePosixPath(name).parents if str(top) in concepts), None)


def _captions(path: Path, words: str) -> tuple[str, ...]:
    for suffix in SIDECAR_SUFFIXES:
        sidecar = path.with_suffix(suffix)
        if sidecar.is_file() and (captions := usable_captions(read_text_file(sidecar).splitlines())):
            return captions
    return usable_captions([words])


READER = Reader("image_folder", "any folder of pictures", read_image_folder, sources=("photos",))
