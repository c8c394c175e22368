"""Captions of a data set, kept as one JSON line a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

from oft.errors import DataError
from oft.storage import atomic_file
from oft.types import SPLITS, Split

_LINE_RULE = 'each line holds {"key", "split", "captions": [text, ...]}'


@dataclass(frozen=True)
class CaptionRecord:
    """The captions of one picture, possibly none."""

    key: str
    split: Split
    captions: tuple[str, ...]


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
