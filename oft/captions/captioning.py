"""Captions for a data set from where its settings say: its own, a prompt file's, or a network's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oft.captions.store import CaptionRecord
from oft.datasets.caption_text import usable_captions
from oft.datasets.examples import read_dataset
from oft.datasets.prompt_files import named_apart, read_prompt_file

if TYPE_CHECKING:
    from oft.settings.data import Dataset
    from oft.types import Counts, Example, Examples, Split

Captioned = Iterator[tuple[str, tuple[str, ...]]]
"""Key and captions of each picture."""

FindCaptions = Callable[["Examples", "Counts"], Captioned]
"""Finds the captions of a reader's examples, and counts the pictures kept and dropped."""


def caption_dataset(
    settings: Dataset, root: Path, counts: dict[Split, Counts], find: FindCaptions
) -> Iterator[CaptionRecord]:
    """Yield all captions of a data set, cleaned; choosing among them is left to `choose_captions`.

    Args:
        settings: of the data set.
        root: its folder.
        counts: the tally of each split wanted.
        find: `captions_from`, or `describe_pictures` with a network.
    """
    for split, tally in counts.items():
        for key, found in find(read_dataset(settings, root, split, tally), tally):
            yield CaptionRecord(key, split, usable_captions(found))


def captions_from(source: str) -> FindCaptions:
    """Return what finds a data set's own captions ("own"), or those in a prompt file.

    Raises:
        DataError: the prompt file is missing or damaged; later, when two pictures have one name in it.
    """
    return _own_captions if source == "own" else _from_prompt_file(source)


def _own_captions(examples: Examples, tally: Counts) -> Captioned:
    for example in examples:
        tally.kept += 1
        yield example.key, example.captions


def _from_prompt_file(source: str) -> FindCaptions:
    given = read_prompt_file(Path(source))
    owners: dict[str, Example] = {}

    def find(examples: Examples, tally: Counts) -> Captioned:
        for example in named_apart(examples, owners, source):
            tally.kept += 1
            yield example.key, (given.get(example.image.stem, ""),)

    return find
