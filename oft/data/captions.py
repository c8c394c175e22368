"""Captions of a data set, kept as one JSON line a picture, and the choice among those of one picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, cast

from oft.data.keys import stable_hash
from oft.errors import DataError
from oft.storage import atomic_file
from oft.types import SPLITS, Example, Split

CaptionRule = Literal["first", "random", "all"]

_LINE_RULE = 'each line holds {"key", "split", "captions": [text, ...]}'


@dataclass(frozen=True)
class CaptionRecord:
    """The captions of one picture, possibly none."""

    key: str
    split: Split
    captions: tuple[str, ...]


def own_captions(examples: Iterable[Example]) -> Iterator[CaptionRecord]:
    """Yield the captions that the data set gives."""
    for example in examples:
        yield CaptionRecord(example.key, example.split, example.captions)


def write_captions(target: Path, records: Iterable[CaptionRecord]) -> None:
    """Write ``captions.jsonl``, sorted by key: equal records give equal bytes.

    Raises:
        DataError: two records have one key.
    """
    ordered = sorted(records, key=lambda record: record.key)
    for previous, record in pairwise(ordered):
        if previous.key == record.key:
            raise DataError(f"{target}: key {record.key!r} occurs twice; keys are unique in a data set")
    with atomic_file(target) as partial, partial.open("w", encoding="utf-8") as stream:
        for record in ordered:
            entry = {"key": record.key, "split": record.split, "captions": list(record.captions)}
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")


def read_captions(source: Path, split: Split | None = None) -> dict[str, tuple[str, ...]]:
    """Return the captions of each key, of one split or of all.

    Raises:
        DataError: the file is missing or a line has another form; the message names the line.
    """
    if not Path(source).is_file():
        raise DataError(
            f"there is no caption file {source}; run the stage `caption` (`dvc repro caption@<dataset>`)"
        )
    captions: dict[str, tuple[str, ...]] = {}
    with Path(source).open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            record = _parse(source, number, line)
            if split in (None, record.split):
                captions[record.key] = record.captions
    return captions


def choose_caption(
    captions: Sequence[str], rule: Literal["first", "random"], *, key: str = "", seed: int = 0, epoch: int = 0
) -> str:
    """Return one of a picture's captions, '' where it has none.

    ``random`` depends on seed, key and epoch alone: not on the order of pictures, the machine or the process.
    """
    if not captions:
        return ""
    if rule == "first":
        return captions[0]
    return captions[int(stable_hash(f"{seed}/{epoch}/{key}"), 16) % len(captions)]


def select_captions(
    captions: Sequence[str], rule: CaptionRule, *, key: str = "", seed: int = 0
) -> tuple[str, ...]:
    """Return the captions that a shard keeps: all of them, or the one that `choose_caption` picks."""
    if rule == "all" or not captions:
        return tuple(captions)
    return (choose_caption(captions, rule, key=key, seed=seed),)


def _parse(source: Path, number: int, line: str) -> CaptionRecord:
    try:
        entry = json.loads(line)
        key, split, captions = entry["key"], entry["split"], entry["captions"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source}, line {number}: {error!r}; {_LINE_RULE}; mend the line") from error
    sound = isinstance(key, str) and split in SPLITS and isinstance(captions, list)
    if not sound or not all(isinstance(caption, str) for caption in captions):
        raise DataError(f"{source}, line {number}: got {line.strip()[:80]}; {_LINE_RULE}; mend the line")
    return CaptionRecord(key, cast(Split, split), tuple(captions))
