"""Types that cross module borders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")

AnnotationKind = Literal["labels", "picture", "landmarks"]
"""What an annotation file holds: ids [h, w], a conditioning picture [h, w, 3], or points [n, 2]."""


@dataclass(frozen=True)
class Example:
    """One picture of a data set as its reader found it; nothing is decoded yet.

    Attributes:
        key: stable across runs and machines, unique in its data set, made of ``[A-Za-z0-9_-]`` (a shard key).
        image: the picture's file.
        annotation: the file the condition is made from, where the data set has one (id map, part map,
            landmarks, conditioning picture).
        captions: the data set's own captions, possibly none.
        split: ``train`` or ``val``.
        licence: short licence tag, carried into the shards.
        flipped: this is the mirror image of the picture and its annotation.
    """

    key: str
    image: Path
    annotation: Path | None
    captions: tuple[str, ...]
    split: Split
    licence: str
    flipped: bool = False


@dataclass
class Counts:
    """What a data stage saw, kept and dropped, with a reason and the first offenders by name."""

    seen: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    offenders: dict[str, list[str]] = field(default_factory=dict)

    MAX_OFFENDERS = 5

    def drop(self, reason: str, name: str) -> None:
        """Count one dropped sample and remember its name if it is among the first of its reason."""
        self.dropped[reason] += 1
        names = self.offenders.setdefault(reason, [])
        if len(names) < self.MAX_OFFENDERS:
            names.append(name)

    def to_json(self) -> dict[str, object]:
        """Plain values, keys in a fixed order."""
        return {
            "seen": self.seen,
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "offenders": dict(sorted(self.offenders.items())),
        }


Examples = Iterator[Example]


@dataclass(frozen=True)
class Request:
    """One picture to generate: which sample, the how manieth of it, from what and with which seed."""

    key: str
    index: int
    prompt: str
    seed: int

    @property
    def name(self) -> str:
        """The picture's name in its tar."""
        return f"{self.key}-{self.index}"
