"""What a reader is: how data sets in one layout are read, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from oft.types import Annotation, Counts, Example, Split

WORLD = "world"
STYLE_SOURCES = ("world-ink", "world-blueprint")
RENDERED_SOURCES = (WORLD, *STYLE_SOURCES)
"""Sources that are rendered anew for every seed: the miniature world, and that world drawn in two manners."""


@dataclass(frozen=True)
class Reader:
    """How data sets in one layout are read.

    A module of this folder declares one by the name ``READER``; `oft.datasets.registry` finds it there.

    Attributes:
        name: its name in params.
        title: the data sets it reads, in a few words.
        read: the data set's folder, a split and the tally of the stage -> the split's examples, sorted by
            key; nothing is decoded. See `oft.datasets.registry.read`.
        brings: what the data sets have beside each picture.
        sources: what ``acquire.source`` may be beside a folder: those that give this layout.
        official: the published data set that the layout is of, as papers call it; '' for a layout of none.
    """

    name: str
    title: str
    read: Callable[[Path, Split, Counts], Iterator[Example]]
    brings: tuple[Annotation, ...] = ()
    sources: tuple[str, ...] = ()
    official: str = ""

    def gives(self, annotation: Annotation | None) -> bool:
        """Return whether the data sets have this annotation."""
        return annotation in self.brings
