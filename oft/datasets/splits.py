"""Which pictures are for training: by names of folders, by lists, or dealt out by a hash of their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Set
from pathlib import Path, PurePosixPath
from typing import Literal

from oft.datasets.layout import read_text_file
from oft.keys import stable_hash
from oft.types import Split

Part = Literal["train", "val", "test"]

# The hub's words for splits, which stand between other characters than letters: train-00000-of-00001.parquet.
_PARTS: dict[Part, str] = {
    "train": "train|training",
    "val": "validation|valid|val|dev",
    "test": "test|testing|eval|evaluation",
}
_WORDS = {part: re.compile(rf"(?<![a-z])({words})(?![a-z])", re.IGNORECASE) for part, words in _PARTS.items()}
_NAMES = {part: re.compile(words, re.IGNORECASE) for part, words in _PARTS.items()}


def hashed_split(name: str, val_percent: int) -> Split:
    """Return ``val`` for that share of all names, by a hash of the name alone."""
    return "val" if int(stable_hash(name), 16) % 100 < val_percent else "train"


def hashed_val(names: Iterable[str], val_percent: int) -> frozenset[str]:
    """Return which of some names validate: those of `hashed_split`, and of two names or more at least one.

    Where the hash alone leaves a side empty, the name that is nearest to it stands in. So one more name moves
    at most one other: the stand-in.
    """
    val: set[str] = set()
    nearest: tuple[tuple[int, int], str] | None = None
    num_others = 0
    for name in names:
        if hashed_split(name, val_percent) == "val":
            val.add(name)
            continue
        num_others += 1
        candidate = (_distance(name), name)
        nearest = candidate if nearest is None else min(nearest, candidate)
    if nearest is not None and not val and num_others > 1:
        val.add(nearest[1])
    if nearest is None and len(val) > 1:
        val.remove(max(val, key=_distance))
    return frozenset(val)


def _distance(name: str) -> tuple[int, int]:
    """How far a name is from validating: those of a smaller share are those of a larger one too."""
    number = int(stable_hash(name), 16)
    return number % 100, number


def named_part(name: str) -> Part | None:
    """Return the part of a data set that a path names, its end first; None where it names none."""
    for piece in reversed(PurePosixPath(name).parts):
        for part, words in _WORDS.items():
            if words.search(piece):
                return part
    return None


def folder_part(name: str) -> Part | None:
    """Return the part of a data set that a folder is called after, in any case; None where it is called more.

    Stricter than `named_part`: in a folder of the user's own ``train station`` is a place.
    """
    return next((part for part, words in _NAMES.items() if words.fullmatch(name)), None)


def split_rule(
    parts: Collection[Part | None], val_percent: int, names: Iterable[str]
) -> Callable[[Part | None, str], Split | None]:
    """Return the function that gives a picture's split from the part it is named in and its own name.

    ``val`` is the part named so; without one it is ``test``, and without either a hashed share of everything.
    Where there are both, ``test`` belongs to no split (None). All else is ``train``.

    Args:
        parts: all that are named.
        val_percent: the share.
        names: all pictures' own; looked at where no part is held out.
    """
    held_out = next((part for part in ("val", "test") if part in parts), None)
    val = frozenset() if held_out else hashed_val(names, val_percent)

    def split_of(part: Part | None, name: str) -> Split | None:
        if part in ("val", "test"):
            return "val" if part == held_out else None
        return "val" if name in val else "train"

    return split_of


def listed_names(
    root: Path, split: Split, present: list[str], val_of: Callable[[list[str]], Set[str]]
) -> list[str]:
    """Return the names of a split's pictures: where it is there, those in ``{split}.txt``, one a line.

    A line is a name, blanks and all; where no picture is called so, what follows its first word (a label, as
    in CelebA's lists) is left out. With only the other split's list they are the rest of those present; with
    none, ``val_of`` says which of those present validate.

    Raises:
        DataError: a list is no text.
    """
    other: Split = "val" if split == "train" else "train"
    own_list, other_list = root / f"{split}.txt", root / f"{other}.txt"
    if own_list.is_file():
        return _listed(own_list, present)
    if other_list.is_file():
        elsewhere = set(_listed(other_list, present))
        return [name for name in present if name not in elsewhere]
    val = val_of(present)
    return [name for name in present if (name in val) == (split == "val")]


def _listed(path: Path, present: Collection[str]) -> list[str]:
    lines = [line.strip() for line in read_text_file(path).split("\n")]
    there = set(present)
    return [_listed_name(line, there) for line in lines if line]


def _listed_name(line: str, present: Set[str]) -> str:
    whole, first = Path(line).name, Path(line.split()[0]).name
    forms = (whole, f"{whole}.jpg", first, f"{first}.jpg")
    # A picture that is not there is counted as missing, under a name that people find in the list.
    return next((name for name in forms if name in present), whole)
