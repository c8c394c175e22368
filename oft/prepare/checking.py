"""What a run would keep of a folder: all pictures decoded, captions looked for, drops counted, no output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from oft.datasets import read
from oft.datasets.decoding import Unusable, Wanted, decode
from oft.datasets.dreambooth import read_prompts, read_subjects
from oft.datasets.prompt_files import read_prompt_file
from oft.datasets.registry import find_reader
from oft.errors import DataError
from oft.keys import distinct
from oft.parallel import parallel_map
from oft.prepare.drops import CAPTION_MISSING, USES
from oft.prepare.geometry import smallest_side_px
from oft.progress import count
from oft.types import SPLITS, Counts, Example, Split


def check_dataset(
    reader: str, root: Path, captions: str = "own", resolution_px: int | None = None
) -> dict[Split, Counts]:
    """Decode everything a reader finds in a folder, on all cores, and return what a run keeps of each split.

    Args:
        reader: for the folder's layout.
        root: the folder.
        captions: where they come from, as ``captions.source`` in params.yaml: "own", "blip" or a prompt file.
        resolution_px: the run's size; None takes pictures of any.

    Raises:
        DataError: the layout is not the reader's, two pictures share a key, there is no picture at all, or
            the prompt file is missing or damaged.
    """
    check_beside(reader, root)
    counts = {split: Counts() for split in SPLITS}
    find_fault = partial(
        _find_fault,
        wanted=replace(wanted_of(reader), min_side_px=smallest_side_px(resolution_px or 0)),
        # A subject's pictures have its prompt.
        has_caption=_caption_test("blip" if reader == "dreambooth" else captions),
    )
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


def find_shortage(reader: str, counts: Mapping[Split, Counts]) -> str | None:
    """Return why a run with a data set ends before it trains; None if it does not."""
    needed: Split = "train" if reader == "dreambooth" else "val"
    if counts[needed].kept:
        return None
    return (
        f"a run keeps no picture of {needed}, {USES[needed]}; see above for what it drops, and "
        "docs/datasets.md for which pictures of a layout are for validation"
    )


def summarize(reader: str, root: Path, counts: Mapping[Split, Counts]) -> dict[str, Any]:
    """Return what was seen, kept and dropped by reason, in all and by split, as plain values."""
    splits = {split: _plain(tally.seen, tally.kept, tally.dropped) for split, tally in counts.items()}
    dropped = sum((tally.dropped for tally in counts.values()), Counter[str]())
    seen, kept = (sum(getattr(tally, name) for tally in counts.values()) for name in ("seen", "kept"))
    return {"reader": reader, "root": str(root), **_plain(seen, kept, dropped), "splits": splits}


def _find_fault(example: Example, wanted: Wanted, has_caption: Callable[[Example], bool]) -> Unusable | None:
    try:
        decode(example, wanted)
    except Unusable as fault:
        return fault
    return None if has_caption(example) else Unusable(CAPTION_MISSING, example.image.name)


def _caption_test(source: str) -> Callable[[Example], bool]:
    """Return what says whether an example has a caption from a source; processes can be handed it."""
    match source:
        case "own":
            return _has_own
        case "blip":
            return _is_described
        case _:
            stems = frozenset(stem for stem, text in read_prompt_file(Path(source)).items() if text)
            return partial(_is_listed, stems=stems)


def _has_own(example: Example) -> bool:
    return bool(example.captions)


def _is_described(example: Example) -> bool:
    return True


def _is_listed(example: Example, stems: frozenset[str]) -> bool:
    return example.image.stem in stems


def _plain(seen: int, kept: int, dropped: Counter[str]) -> dict[str, Any]:
    return {"seen": seen, "kept": kept, "dropped": dict(sorted(dropped.items()))}
