"""ADE20K, scene parsing benchmark (150 classes): pictures with id maps, 0 = other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oft.datasets.annotations import ADE20K_LABELS
from oft.datasets.layout import licence_tag, list_pictures, require_folder
from oft.datasets.listings import paired
from oft.datasets.prompt_files import prompt_captions
from oft.datasets.reader import WORLD, Reader
from oft.types import Counts, Example, Split

LAYOUT = (
    "ADE20K's layout: ADEChallengeData2016/images/{training,validation}/*.jpg and "
    "ADEChallengeData2016/annotations/{training,validation}/*.png"
)
LICENCE = "ADE20K terms (non-commercial research)"
_FOLDERS: dict[Split, str] = {"train": "training", "val": "validation"}


def read_ade20k(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the examples of a split, sorted by key; the annotation is the id map.

    The data set has no captions; those of ``prompt_{train,val}_blip.json`` are taken where the file is there
    and names the pictures by these file names.

    Args:
        root: the folder that holds ADEChallengeData2016, or that folder itself.
        split: ``train`` or ``val``.
        counts: pictures without an id map are dropped as ``annotation_missing``.

    Raises:
        DataError: a folder is missing.
    """
    top = root if (root / "images").is_dir() else root / "ADEChallengeData2016"
    images = require_folder(top / "images" / _FOLDERS[split], LAYOUT)
    annotations = require_folder(top / "annotations" / _FOLDERS[split], LAYOUT)
    captions = prompt_captions(split, root, top)
    licence = licence_tag(root, LICENCE)
    names = set(list_pictures(images))
    for key, name, labels in paired(
        names, names, lambda name: annotations / f"{Path(name).stem}.png", counts
    ):
        yield Example(key, images / name, labels, captions.get(labels.stem, ()), split, licence)


READER = Reader(
    "ade20k",
    "ADE20K, scene parsing benchmark",
    read_ade20k,
    brings=(ADE20K_LABELS,),
    sources=(WORLD, "download"),
    official="ADE20K",
)
