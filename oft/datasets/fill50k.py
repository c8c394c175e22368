"""fill50k: 50,000 filled circles, each with its outline and a caption that names the two colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oft.datasets.annotations import CIRCLE_OUTLINES, CONDITIONING_PICTURE
from oft.datasets.layout import captions_in, licence_tag, require_file, require_folder
from oft.datasets.listings import Listed, read_listed
from oft.datasets.prompt_files import read_entries
from oft.datasets.reader import WORLD, Reader
from oft.datasets.splits import hashed_val
from oft.errors import DataError
from oft.types import Counts, Example, Split

LAYOUT = (
    'fill50k\'s layout: train.jsonl (JSON lines of {"text", "image", "conditioning_image"}), images/*.png '
    'and conditioning_images/*.png; or ControlNet\'s own archive: prompt.json (lines of {"source", "target", '
    '"prompt"}), source/*.png and target/*.png'
)
LICENCE = "unspecified"
VAL_PERCENT = 1


def read_fill50k(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the circles of a split, sorted by key; the annotation is the conditioning picture.

    There is no official split: 1 % of the pictures, chosen by a hash of their names, are ``val``.

    Args:
        root: the folder that holds the listing, or the one that holds its folder ``fill50k``.
        split: ``train`` or ``val``.
        counts: see `oft.datasets.listings.read_listed`.

    Raises:
        DataError: the listing is missing, or a line of it has another form.
    """
    top = require_folder(root / "fill50k" if (root / "fill50k").is_dir() else root, LAYOUT)
    official = top / "train.jsonl"
    listing = official if official.is_file() else top / "prompt.json"
    if not listing.is_file():
        require_file(official, LAYOUT)
    listed: dict[str, Listed] = {}
    for place, entry in read_entries(listing):
        values = entry if isinstance(entry, dict) else {}
        image = values.get("image", values.get("target"))
        outline = values.get("conditioning_image", values.get("source"))
        if not isinstance(image, str) or not isinstance(outline, str):
            raise DataError(
                f"{listing}, {place}: must name a picture and its outline; expected {LAYOUT}; mend it"
            )
        listed[image] = Listed(outline, captions_in(values.get("text", values.get("prompt"))))
    val = hashed_val(listed, VAL_PERCENT)
    licence = licence_tag(root, LICENCE)
    yield from read_listed(
        top, listed, split, lambda name: "val" if name in val else "train", licence, counts
    )


READER = Reader(
    "fill50k",
    "fill50k",
    read_fill50k,
    brings=(CIRCLE_OUTLINES, CONDITIONING_PICTURE),
    sources=(WORLD, "download"),
    official="fill50k",
)
