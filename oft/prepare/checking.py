"""What a folder holds for a reader: every picture and annotation decoded, faults counted, nothing written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from oft.datasets import read
from oft.datasets.decoding import Unusable, Wanted, decode
from oft.datasets.dreambooth import read_prompts, read_subjects
from oft.datasets.registry import find_reader
from oft.errors import DataError
from oft.keys import distinct
from oft.parallel import parallel_map
from oft.pictures import EXPLANATIONS
from oft.progress import count
from oft.types import SPLITS, Counts, Example, Split

_ANNOTATION = "annotation_"
_FAULTS = {
    **EXPLANATIONS,
    "outside": "the listing leads out of the data set; such a file is never opened; mend the listing",
    "size_mismatch": "picture and annotation differ in size; export them at one size",
    "orientation_unclear": "EXIF has the picture turned, and its annotation may lie either way; save the "
    "picture as its annotation lies, without the tag",
    "label_out_of_range": "the map has an id that the data set does not define; export it anew",
    "landmarks_outside": "points lie far outside the picture; mark it anew, at the size the layout asks for",
    "name_not_text": "the file's name is not UTF-8; rename it",
}


def check_dataset(reader: str, root: Path) -> dict[Split, Counts]:
    """Decode everything a reader finds in a folder, on all cores, and return the counts of each split.

    Raises:
        DataError: the layout is not the reader's, two pictures share a key, or there is no picture at all.
    """
    check_beside(reader, root)
    counts = {split: Counts() for split in SPLITS}
    find_fault = partial(_find_fault, wanted=wanted_of(reader))
    keys: set[str] = set()
    for split, tally in counts.items():
        examples = distinct(read(reader, root, split, tally), keys)
        faults = parallel_map(find_fault, examples, "oft data check")
        for fault in count(faults, f"{reader} {split}", "pictures"):
            if fault is None:
                tally.kept += 1
            else:
                tally.drop(fault.reason, fault.name)
    if not any(tally.seen for tally in counts.values()):
        raise DataError(
            f"{root} has no picture for reader {reader!r}; complete the data set, or choose another reader: "
            "docs/datasets.md shows the layout of each"
        )
    return counts


def wanted_of(reader: str) -> Wanted:
    """Return what a reader's annotations must be like; of several in one file the first says it."""
    return Wanted.of(next(iter(find_reader(reader).brings), None))


def check_beside(reader: str, root: Path) -> None:
    """Read what a run needs of a data set beside its pictures: the subjects' classes and prompts.

    Raises:
        DataError: it is missing or damaged.
    """
    if reader == "dreambooth":
        read_subjects(root)
        for live in (False, True):
            read_prompts(root, live)


def summarize(reader: str, root: Path, counts: Mapping[Split, Counts]) -> dict[str, Any]:
    """Return what was seen, kept and dropped by reason, in all and by split, as plain values."""
    splits = {split: _plain(tally.seen, tally.kept, tally.dropped) for split, tally in counts.items()}
    dropped = sum((tally.dropped for tally in counts.values()), Counter[str]())
    seen, kept = (sum(getattr(tally, name) for tally in counts.values()) for name in ("seen", "kept"))
    return {"reader": reader, "root": str(root), **_plain(seen, kept, dropped), "splits": splits}


def describe_drops(counts: Mapping[Split, Counts]) -> Iterator[str]:
    """Yield a line for each split and reason: how many, what is wrong, what to do, the first by name."""
    for split, tally in counts.items():
        for reason, number in sorted(tally.dropped.items()):
            names = ", ".join(tally.offenders[reason])
            more = ", ..." if number > len(tally.offenders[reason]) else ""
            yield f"{split}: {number} {reason} ({_explain(reason)}): {names}{more}"


def _find_fault(example: Example, wanted: Wanted) -> Unusable | None:
    try:
        decode(example, wanted)
    except Unusable as fault:
        return fault
    return None


def _explain(reason: str) -> str:
    if reason in _FAULTS:
        return _FAULTS[reason]
    return f"of its annotation: {_FAULTS[reason.removeprefix(_ANNOTATION)]}"


def _plain(seen: int, kept: int, dropped: Counter[str]) -> dict[str, Any]:
    return {"seen": seen, "kept": kept, "dropped": dict(sorted(dropped.items()))}
