"""Any folder of pictures, with or without captions; kohya's folders of repeats and class words among them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import reduce
from math import gcd
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from oft.datasets.caption_text import usable_captions, words_of_name
from oft.datasets.layout import is_picture, licence_tag, read_text_file, require_folder, walk
from oft.datasets.reader import Reader
from oft.datasets.splits import Part, folder_part, hashed_val
from oft.keys import repeated_key, sorted_keys
from oft.types import SPLITS, Counts, Example, Split

LAYOUT = (
    "a folder of pictures, in subfolders or not, split into train/ and val/ or not, each with its caption in "
    "a text file of the same name (.txt or .caption) or in its own name; or kohya's folders (10_sks dog)"
)
LICENCE = "unspecified"
VAL_PERCENT = 5
SIDECAR_SUFFIXES = (".txt", ".caption")

OUTSIDE_SPLITS = "outside_splits"
TEST_SPLIT = "test_split"

_KOHYA_FOLDER = re.compile(r"(?P<repeats>[1-9]\d{0,2})_(?P<words>.*\S.*)")


class _Concept(NamedTuple):
    """What kohya's trainers read from a folder's name: how often its pictures come, and token and class."""

    repeats: int
    words: str


class _Contents(NamedTuple):
    """The pictures of a folder: those of each split, kohya's folders among these, and those of neither."""

    names: dict[Split, list[str]]
    concepts: dict[Split, dict[str, _Concept]]
    dropped: dict[str, list[str]]


def read_image_folder(
    root: Path, split: Split, counts: Counts, *, train_on_unsplit: bool = False
) -> Iterator[Example]:
    """Yield the pictures of a folder and its subfolders, sorted by key.

    Where there are folders named ``train`` and ``val`` at the top (or ``training``; ``validation``,
    ``valid``, ``dev``; in any case) these are the splits; of ``train`` alone, and of kohya's folders, 5 % are
    ``val``, by a hash of their names; without any everything is ``val``.

    The captions are the lines of the text file beside the picture (``name.txt`` or ``name.caption`` beside
    ``name.jpg``), else token and class of kohya's folder, else the picture's name in words, if it has any.
    Hidden files and folders are passed over.

    Where all pictures of a split lie in kohya's folders (``10_sks dog``), a picture to train on comes as
    often as its folder says, in proportion: of ``10_sks dog`` and ``20_sks cat`` cats come twice.

    Args:
        counts: the tally of ``train`` has what neither split uses too: pictures beside the splits' folders,
            dropped as ``outside_splits``, those in a folder named ``test`` beside other pictures
            (``test_split``), and links that lead nowhere (``missing``).
        train_on_unsplit: a folder without splits is as one of ``train`` alone.

    Raises:
        DataError: the folder is missing, a text file is no text, or a link leads back up.
    """
    require_folder(root, LAYOUT)
    contents = _look_into(root, train_on_unsplit)
    if split == "train":
        for reason, names in contents.dropped.items():
            for name in names:
                counts.seen += 1
                counts.drop(reason, name)
    concepts = contents.concepts[split]
    sidecars = _find_sidecars(root)
    licence = licence_tag(root, LICENCE)
    shared = reduce(gcd, (concept.repeats for concept in concepts.values()), 0)
    listed = []
    for key, name in sorted_keys(contents.names[split]):
        concept = _concept_of(name, concepts)
        num_repeats = concept.repeats // shared if concept and split == "train" else 1
        listed += [(repeated_key(key, repeat), name, concept) for repeat in range(num_repeats)]
    for key, name, concept in sorted(listed):
        counts.seen += 1
        path = root / name
        words = concept.words if concept else words_of_name(path.stem)
        captions = _captions(sidecars.get(_stem(name), []), words)
        yield Example(key, path, None, captions, split, licence)


def _look_into(root: Path, train_on_unsplit: bool) -> _Contents:
    parts = {entry.name: folder_part(entry.name) for entry in root.iterdir() if entry.is_dir()}
    names: dict[Part | None, list[str]] = {"train": [], "val": [], "test": [], None: []}
    missing: list[str] = []
    for name in walk(root, is_picture):
        # A run's copy has no links that lead nowhere: they must not decide what is held out.
        into = names[parts.get(PurePosixPath(name).parts[0])] if os.path.isfile(root / name) else missing
        into.append(name)
    has_val = "val" in parts.values()
    is_split = has_val or "train" in parts.values()
    dropped = {OUTSIDE_SPLITS: names[None], TEST_SPLIT: names["test"], "missing": missing}
    present = names["train"] if is_split else dropped.pop(OUTSIDE_SPLITS) or dropped.pop(TEST_SPLIT)
    concepts = _find_concepts(present, depth=int(is_split))
    if has_val:
        of_val = _find_concepts(names["val"], depth=1)
        return _Contents({"train": present, "val": names["val"]}, {"train": concepts, "val": of_val}, dropped)
    val = hashed_val(present, VAL_PERCENT) if is_split or concepts or train_on_unsplit else set(present)
    train = [name for name in present if name not in val]
    return _Contents({"train": train, "val": sorted(val)}, dict.fromkeys(SPLITS, concepts), dropped)


def _find_concepts(names: list[str], depth: int) -> dict[str, _Concept]:
    """Return kohya's folders by their paths; none if some of the pictures lie elsewhere.

    Args:
        depth: how many folders they lie in.
    """
    concepts = {}
    for parts in (PurePosixPath(name).parts for name in names):
        match = _KOHYA_FOLDER.fullmatch(parts[depth]) if len(parts) > depth + 1 else None
        if match is None:
            return {}
        folder = "/".join(parts[: depth + 1])
        concepts[folder] = _Concept(int(match["repeats"]), match["words"].replace("_", " "))
    return concepts


def _concept_of(name: str, concepts: dict[str, _Concept]) -> _Concept | None:
    return next((concepts[str(top)] for top in PurePosixPath(name).parents if str(top) in concepts), None)


def _find_sidecars(root: Path) -> dict[str, list[Path]]:
    """Return the text files that may hold captions, the first to look into first, by path without suffix.

    Their suffixes may be written in any case, as those of pictures may.
    """
    found: dict[str, list[Path]] = {}
    for name in walk(root, lambda name: Path(name).suffix.lower() in SIDECAR_SUFFIXES):
        found.setdefault(_stem(name), []).append(root / name)
    return {
        stem: sorted(paths, key=lambda path: SIDECAR_SUFFIXES.index(path.suffix.lower()))
        for stem, paths in found.items()
    }


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _captions(sidecars: list[Path], words: str) -> tuple[str, ...]:
    for sidecar in sidecars:
        if sidecar.is_file() and (captions := usable_captions(read_text_file(sidecar).splitlines())):
            return captions
    return usable_captions([words])


READER = Reader("image_folder", "any folder of pictures", read_image_folder, sources=("photos",))
