"""CelebA-HQ: faces at 1024 px with 68 landmarks each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oft.datasets.annotations import FACE_LANDMARKS
from oft.datasets.layout import first_folder, licence_tag, list_pictures
from oft.datasets.listings import paired
from oft.datasets.prompt_files import prompt_captions
from oft.datasets.reader import WORLD, Reader
from oft.datasets.splits import hashed_val, listed_names
from oft.types import Counts, Example, Split

LAYOUT = (
    "CelebA-HQ's layout: CelebA-HQ-img/{0..29999}.jpg and landmarks/{0..29999}.txt (68 lines of x and y, "
    "pixels of the 1024 px picture), or the reference release's celebhq-text/celeba-hq-img and "
    "celeba-hq-landmark2d; its licence forbids redistribution, so download and unpack it by hand"
)
LICENCE = "CelebA-HQ terms (non-commercial research)"
MARKED_SIDE_PX = 1024
FIRST_VAL_INDEX = 27_011
"""The reference release trains on 0 to 27010 and validates on the rest, faces without landmarks left out:
27,000 and 2,987 pictures."""

_VAL_PERCENT = 10
_TOPS = ("", "CelebAMask-HQ", "celebhq-text")
_IMAGES = ("CelebA-HQ-img", "celeba-hq-img")
_LANDMARKS = ("landmarks", "celeba-hq-landmark2d")


def read_celeba_hq(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the examples of a split, sorted by key; the annotation is the file of landmarks.

    Landmarks are in pixels of the 1024 px picture, and scaled where the pictures are stored smaller. The
    split is that of ``train.txt`` and ``val.txt`` where they are there, else the reference release's: numbers
    below 27,011 are ``train``. Of pictures without a number, and of numbers from one side alone, 10 % are
    ``val``, by a hash of their names.
    Captions are those of the prompt files, at the top, in ``celebhq-text`` or in ``celebhq``.

    Args:
        root: the folder that holds ``CelebA-HQ-img`` or ``CelebAMask-HQ``, or the reference release's
            ``data`` or ``data/celebhq-text``.
        split: ``train`` or ``val``.
        counts: see `oft.datasets.listings.paired`.

    Raises:
        DataError: a folder is missing.
    """
    tops = [root / name for name in _TOPS]
    images = first_folder((top / name for top in tops for name in _IMAGES), LAYOUT)
    landmarks = first_folder((top / name for top in tops for name in _LANDMARKS), LAYOUT)
    captions = prompt_captions(split, *tops, root / "celebhq")
    licence = licence_tag(root, LICENCE)
    pictures = list_pictures(images)
    names = listed_names(root, split, pictures, _validation)
    for key, name, points in paired(
        names, set(pictures), lambda name: landmarks / f"{Path(name).stem}.txt", counts
    ):
        own = captions.get(points.stem, ())
        yield Example(key, images / name, points, own, split, licence, marked_side_px=MARKED_SIDE_PX)


def _validation(pictures: list[str]) -> set[str]:
    stems = {Path(name).stem for name in pictures}
    numbered = {stem for stem in stems if stem.isascii() and stem.isdigit()}
    val = {stem for stem in numbered if int(stem) >= FIRST_VAL_INDEX}
    if numbered and val in (set(), numbered):  # an excerpt from one side of the reference release's split
        numbered, val = set(), set()
    val |= hashed_val(stems - numbered, _VAL_PERCENT)
    return {name for name in pictures if Path(name).stem in val}


READER = Reader(
    "celeba_hq",
    "CelebA-HQ",
    read_celeba_hq,
    brings=(FACE_LANDMARKS,),
    sources=(WORLD,),
    official="CelebA-HQ",
)
