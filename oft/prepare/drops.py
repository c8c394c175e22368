"""Dropped pictures in words, and the refusal of a split that nothing is left of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oft.datasets.image_folder import OUTSIDE_SPLITS, TEST_SPLIT
from oft.errors import DataError
from oft.pictures import EXPLANATIONS
from oft.types import Counts, Split

CAPTION_MISSING = "caption_missing"

_ANNOTATION = "annotation_"
_FAULTS = {
    **EXPLANATIONS,
    CAPTION_MISSING: "no caption where they are looked for; write one there (docs/datasets.md), or set "
    "captions.source of the data set to blip or a prompt file",
    "outside": "the listing leads out of the data set; such a file is never opened; mend the listing",
    OUTSIDE_SPLITS: "beside the folders of the splits, so in neither; move it into train/ or val/",
    TEST_SPLIT: "in a folder for testing, which no run uses; rename the folder to val to validate on it",
    "size_mismatch": "picture and annotation differ in size; export them at one size",
    "orientation_unclear": "EXIF has the picture turned, and its annotation may lie either way; save the "
    "picture as its annotation lies, without the tag",
    "label_out_of_range": "the map has an id that the data set does not define; export it anew",
    "landmarks_outside": "points lie far outside the picture; mark it anew, at the size the layout asks for",
    "name_not_text": "the file's name is not UTF-8; rename it",
}

USES: dict[Split, str] = {
    "train": "so nothing can be learned",
    "val": "so nothing can be sampled: pictures are drawn for validation samples",
}


def describe_drops(tally: Counts) -> Iterator[str]:
    """Yield a line for each reason: how many, what is wrong, what to do, the first by name."""
    for reason, number in sorted(tally.dropped.items()):
        names = ", ".join(tally.offenders[reason])
        more = ", ..." if number > len(tally.offenders[reason]) else ""
        yield f"{number} {reason} ({_explain(reason)}): {names}{more}"


def refuse_empty(name: str, split: Split, tallies: Mapping[str, Counts]) -> None:
    """Return if a split has a sample.

    Args:
        name: the task or data set.
        split: ``train`` or ``val``.
        tallies: what each stage counted of the split, by the stage's name; the last one decides.

    Raises:
        DataError: nothing is left of it; the message says what each stage dropped, and why.
    """
    *_, last = tallies.values()
    if last.kept:
        return
    drops = [f"  {stage}: {line}" for stage, tally in tallies.items() for line in describe_drops(tally)]
    found = "\n".join(["all its pictures were dropped:", *drops])
    if not drops:
        found = "the data set has no such picture; add one (docs/datasets.md says which are for validation)"
    raise DataError(f"{name}: {split} has no sample, {USES[split]}; {found}")


def _explain(reason: str) -> str:
    if reason in _FAULTS:
        return _FAULTS[reason]
    return f"of its annotation: {_FAULTS[reason.removeprefix(_ANNOTATION)]}"
