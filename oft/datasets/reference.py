"""The OFT authors' preprocessed data: pictures, ready conditioning pictures and captions by split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oft.datasets.annotations import CONDITIONING_PICTURE
from oft.datasets.layout import licence_tag, list_pictures, require_folder
from oft.datasets.listings import paired
from oft.datasets.prompt_files import prompt_captions
from oft.datasets.reader import Reader
from oft.errors import DataError
from oft.types import Counts, Example, Split

LAYOUT = (
    "the reference release's layout: {train,val}/color/*.png, the conditioning pictures under the same names "
    "in one folder beside it ({train,val}/segm, densepose, depth or canny), and "
    "{train,val}/prompt_{train,val}_blip.json"
)
LICENCE = "unspecified (see the data set it was made from)"


def read_reference(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the examples of a split, sorted by key; the annotation is the conditioning picture, ready to use.

    Args:
        root: ``data/ADE20K``, ``data/DeepFashion`` or ``data/COCO`` of the release (its faces have the layout
            that `oft.datasets.celeba_hq` reads).
        split: ``train`` or ``val``.
        counts: pictures without a conditioning picture are dropped as ``annotation_missing``.

    Raises:
        DataError: a folder is missing, or there are several to take conditioning pictures from.
    """
    top = root / split
    images = require_folder(top / "color", LAYOUT)
    others = sorted(
        entry for entry in top.iterdir() if entry.is_dir() and entry != images and entry.name[0] != "."
    )
    if len(others) != 1:
        raise DataError(
            f"{top} must hold one folder of conditioning pictures beside color, it holds "
            f"{', '.join(folder.name for folder in others) or 'none'}; expected {LAYOUT}; "
            "leave there the one to train on"
        )
    [conditions] = others
    captions = prompt_captions(split, root)
    licence = licence_tag(root, LICENCE)
    # The release numbers the pictures of each split from 0: a key needs the split too.
    names = {f"{split}/{name}" for name in list_pictures(images)}
    for key, _, drawn in paired(names, names, lambda name: conditions / Path(name).name, counts):
        own = captions.get(drawn.stem, ())
        yield Example(key, images / drawn.name, drawn, own, split, licence)


READER = Reader(
    "reference", "the folders of OFT's reference release", read_reference, brings=(CONDITIONING_PICTURE,)
)
