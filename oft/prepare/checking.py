"""What a run would keep of a folder: all pictures decoded, captions looked for, drops counted, no output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from oft.conditions import CONDITIONS
from oft.datasets import READERS, read
from oft.datasets.decoding import Unusable, Wanted, decode
from oft.datasets.dreambooth import read_prompts, read_subjects
from oft.datasets.layout import walk_folders
from oft.datasets.prompt_files import named_apart, read_prompt_file
from oft.datasets.registry import find_reader
from oft.errors import DataError
from oft.keys import distinct
from oft.parallel import parallel_map
from oft.prepare.drops import CAPTION_MISSING, USES
from oft.prepare.geometry import smallest_side_px
from oft.progress import count
from oft.types import SPLITS, Counts, Example, Split


def check_dataset(
    reader: str,
    root: Path,
    captions: str = "own",
    resolution_px: int | None = None,
    condition: str | None = None,
    unfit: Counts | None = None,
) -> dict[Split, Counts]:
    """Decode everything a reader finds in a folder, on all cores, and return what a run keeps of each split.

    Args:
        reader: for the folder's layout.
        root: the folder.
        captions: where they come from, as ``captions.source`` in params.yaml: "own", "blip" or a prompt file.
        resolution_px: the run's size; None takes pictures of any.
        condition: the run's, by name. None is one that is made of the picture alone: a picture is kept
            whatever is wrong with its annotation.
        unfit: where there is no condition, gets the pictures kept that one made of the annotation drops.

    Raises:
        DataError: the layout is not the reader's, a link leads back up, two pictures share a key or a name in
            the prompt file, there is no picture at all, the prompt file is missing or damaged, or the data
            set has not what the condition is made from.
    """
    for _ in walk_folders(root):
        pass  # a run copies all of the folder, and refuses loops anywhere in it
    check_beside(reader, root)
    # A subject's pictures have its prompt.
    source = "blip" if reader == "dreambooth" else captions
    counts = {split: Counts() for split in SPLITS}
    unfit = Counts() if unfit is None else unfit
    find_fault = partial(
        _find_faults,
        wanted=replace(wanted_of(reader, condition), min_side_px=smallest_side_px(resolution_px or 0)),
        by_picture_alone=condition is None,
        has_caption=_caption_test(source),
    )
    keys: set[str] = set()
    owners: dict[str, Example] = {}
    for split, tally in counts.items():
        examples = distinct(read(reader, root, split, tally), keys)
        if source not in ("own", "blip"):
            examples = named_apart(examples, owners, source)
        faults = parallel_map(find_fault, examples, "oft data check")
        for drop, annotation_fault in count(faults, f"{reader} {split}", "pictures"):
            if drop is None:
                tally.kept += 1
            else:
                tally.drop(drop.reason, drop.name)
            if annotation_fault is not None:
                unfit.drop(annotation_fault.reason, annotation_fault.name)
    if not any(tally.seen for tally in counts.values()):
        raise DataError(
            f"{root} has no picture for reader {reader!r}; complete the data set, or choose another reader: "
            "docs/datasets.md shows the layout of each"
        )
    return counts


def wanted_of(reader: str, condition: str | None = None) -> Wanted:
    """Return what a reader's annotations must be like for a condition to be made from them.

    Without a condition that is what the reader brings; of several in one file the first says it.

    Raises:
        DataError: there is no such reader or condition, or the condition needs what the reader does not give.
    """
    found = find_reader(reader)
    if condition is None:
        return Wanted.of(next(iter(found.brings), None))
    if condition not in CONDITIONS:
        raise DataError(f"there is no condition {condition!r}; choose one of {', '.join(sorted(CONDITIONS))}")
    chosen = CONDITIONS[condition]
    if found.gives(chosen.annotation):
        return Wanted.of(chosen.annotation)
    if chosen.needs_annotation():
        readers = ", ".join(each.name for each in READERS.values() if each.gives(chosen.annotation))
        raise DataError(
            f"condition {condition!r} is made from an annotation that reader {reader!r} does not give; "
            f"choose a condition made of the picture, or a data set of reader {readers}"
        )
    return Wanted()


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


def _find_faults(
    example: Example, wanted: Wanted, by_picture_alone: bool, has_caption: Callable[[Example], bool]
) -> tuple[Unusable | None, Unusable | None]:
    """Return why a run drops a picture; and of one that it keeps, what is wrong with its annotation."""
    fault = _fault_of(example, wanted)
    drop = _fault_of(example, replace(wanted, annotation=None)) if fault and by_picture_alone else fault
    if drop is None and not has_caption(example):
        return Unusable(CAPTION_MISSING, example.image.name), None
    return drop, fault if drop is None else None


def _fault_of(example: Example, wanted: Wanted) -> Unusable | None:
    try:
        decode(example, wanted)
    except Unusable as fault:
        return fault
    return None


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
