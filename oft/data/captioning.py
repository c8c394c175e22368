"""Captions for a data set from where its settings say: its own, a network's, or a prompt file's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oft.data.caption_text import usable_captions
from oft.data.captions import CaptionRecord
from oft.data.examples import read_dataset
from oft.data.readers.prompt_files import read_prompt_file
from oft.errors import DataError

if TYPE_CHECKING:
    from oft.params import Dataset
    from oft.types import Counts, Examples, Split

Found = Iterator[tuple[str, tuple[str, ...]]]
"""Key and captions of each picture."""

Describe = Callable[["Examples", "Counts"], Iterator[tuple[str, str]]]
"""Yields (key, caption) of each usable picture, and counts those that are not."""


def caption_dataset(
    settings: Dataset,
    root: Path,
    counts: dict[Split, Counts],
    describe: Describe | None = None,
) -> Iterator[CaptionRecord]:
    """Yield all captions of a data set, cleaned; choosing among them is left to `choose_captions`.

    Args:
        settings: of the data set.
        root: its folder.
        counts: the tally of each split wanted.
        describe: writes captions, where the source is "blip".

    Raises:
        DataError: the prompt file is missing or damaged, or two pictures have one name in it.
    """
    source = settings.captions.source
    find: Callable[[Examples, Counts], Found]
    if source == "own":
        find = _own_captions
    elif source == "blip":
        find = _written_by(describe)
    else:
        find = _from_prompt_file(source)
    for split, tally in counts.items():
        for key, found in find(read_dataset(settings, root, split, tally), tally):
            yield CaptionRecord(key, split, usable_captions(found))


def _own_captions(examples: Examples, tally: Counts) -> Found:
    for example in examples:
        tally.kept += 1
        yield example.key, example.captions


def _written_by(describe: Describe | None) -> Callable[[Examples, Counts], Found]:
    if describe is None:
        raise ValueError('captions.source is "blip", so caption_dataset needs describe')

    def find(examples: Examples, tally: Counts) -> Found:
        for key, caption in describe(examples, tally):
            yield key, (caption,)

    return find


def _from_prompt_file(source: str) -> Callable[[Examples, Counts], Found]:
    given = read_prompt_file(Path(source))
    owners: dict[str, str] = {}

    def find(examples: Examples, tally: Counts) -> Found:
        for example in examples:
            stem = example.image.stem
            if owners.setdefault(stem, example.key) != example.key:
                raise DataError(
                    f"{source}: it tells pictures apart by the names of their files, and "
                    f"{owners[stem]} and {example.key} are both {stem!r}; rename one"
                )
            tally.kept += 1
            yield example.key, (given.get(stem, ""),)

    return find
