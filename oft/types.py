"""Types that cross module borders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Literal, Protocol, runtime_checkable

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")

AnnotationKind = Literal["labels", "picture", "landmarks"]
"""What an annotation file holds: ids [h, w], a conditioning picture [h, w, 3], or points [n, 2]."""


@dataclass(frozen=True)
class Annotation:
    """What a data set has beside a picture: readers find it, extractors make conditions from it.

    Attributes:
        name: what it shows; those with equal names are equal, whichever data set has them.
        kind: what its file holds.
        channel: which channel of the file holds the ids; None where it has one channel.
        num_labels: ids run from 0 to this minus one; None where there are none.
    """

    name: str
    kind: AnnotationKind
    channel: int | None = None
    num_labels: int | None = None


@runtime_checkable
class ByteSource(Protocol):
    """Where the bytes of a picture or annotation are: a path, or a value in a Parquet file."""

    @property
    def name(self) -> str:
        """What counts and messages call it."""

    @property
    def stem(self) -> str:
        """Its name without the file's suffix."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """Open it for reading; FileNotFoundError says that there is none."""


@dataclass(frozen=True)
class Example:
    """One picture of a data set as its reader found it; nothing is decoded yet.

    Attributes:
        key: stable across runs and machines, unique in its data set, made of ``[A-Za-z0-9_-]`` (a shard key).
        image: the picture.
        annotation: what the condition is made from, where the data set has it (id map, part map, landmarks,
            conditioning picture).
        captions: the data set's own captions, possibly none.
        split: ``train`` or ``val``.
        licence: short licence tag, carried into the shards.
        marked_side_px: side of the square picture that landmarks were marked on, where that need not be the
            size the picture is stored at; they are scaled by the two.
    """

    key: str
    image: ByteSource
    annotation: ByteSource | None
    captions: tuple[str, ...]
    split: Split
    licence: str
    marked_side_px: int | None = None


@dataclass
class Counts:
    """What a data stage saw, kept and dropped: for each reason how many, and the first by name."""

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
            # File names need not be text; the counts are written as such.
            names.append(name.encode("utf-8", "backslashreplace").decode())

    def to_json(self) -> dict[str, object]:
        """Return plain values, keys in a fixed order."""
        return {
            "seen": self.seen,
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "offenders": dict(sorted(self.offenders.items())),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Counts:
        """Return what `to_json` was given."""
        return cls(values["seen"], values["kept"], Counter(values["dropped"]), dict(values["offenders"]))


Examples = Iterator[Example]


@dataclass(frozen=True)
class Request:
    """One picture to generate: ``index`` says which repeat of the sample ``key`` it is."""

    key: str
    index: int
    prompt: str
    seed: int

    @property
    def name(self) -> str:
        """The picture's name in its tar."""
        return f"{self.key}-{self.index}"
