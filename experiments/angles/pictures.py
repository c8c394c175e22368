"""The pictures of the experiment: a data set's own splits, or a share held out where it has only one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oft.datasets.decoding import Wanted, iterate_pictures
from oft.datasets.examples import read_dataset
from oft.errors import DataError
from oft.prepare.geometry import Geometry
from oft.types import SPLITS, Counts

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from oft.settings.data import Dataset
    from oft.types import Split

HOLD_OUT_EVERY = 5


@dataclass(frozen=True)
class PictureSets:
    """Pictures of one size, uint8 ``[n, side, side, 3]``.

    Attributes:
        train: what is learned from.
        held_out: what is judged on.
        num_dropped: pictures that could not be used.
    """

    train: UInt8[np.ndarray, "n side side 3"]
    held_out: UInt8[np.ndarray, "n side side 3"]
    num_dropped: int


def read_picture_sets(
    settings: Dataset, root: Path, resolution_px: int, num_train_images: int, num_held_out_images: int
) -> PictureSets:
    """Return the first usable pictures of a data set, by key; validation pictures are those held out.

    Of a data set with one split (a plain folder, subjects) every fifth picture is held out.

    Raises:
        DataError: fewer than two pictures can be used, or the folder misses what its layout demands.
    """
    wanted: dict[Split, int] = {"train": num_train_images, "val": num_held_out_images}
    counts = {split: Counts() for split in SPLITS}
    found = {
        split: _read_pictures(settings, root, split, resolution_px, most, counts[split])
        for split, most in wanted.items()
    }
    train, held_out = found["train"], found["val"]
    if not (train and held_out):
        split: Split = "train" if train else "val"
        counts = {split: Counts()}
        # Enough that holding out every fifth leaves both as many as are wanted.
        others = HOLD_OUT_EVERY - 1
        most = HOLD_OUT_EVERY * max(-(-num_train_images // others), num_held_out_images)
        whole = _read_pictures(settings, root, split, resolution_px, most, counts[split])
        held_out = whole[::HOLD_OUT_EVERY][:num_held_out_images]
        train = [picture for place, picture in enumerate(whole) if place % HOLD_OUT_EVERY][:num_train_images]
    dropped = sum((tally.dropped for tally in counts.values()), start=Counts().dropped)
    if not (train and held_out):
        reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items()))
        raise DataError(
            f"{root}: the experiment with angles needs at least two usable pictures, one of them to be "
            f"judged on; it has {len(train) + len(held_out)} (dropped: {reasons or 'none'}); "
            "choose another data set for angles.dataset in params.yaml"
        )
    return PictureSets(np.stack(train), np.stack(held_out), dropped.total())


def _read_pictures(
    settings: Dataset, root: Path, split: Split, resolution_px: int, most: int, counts: Counts
) -> list[np.ndarray]:
    found = read_dataset(settings, root, split, counts)
    decoded = islice(iterate_pictures(found, counts, Wanted(min_side_px=resolution_px // 2)), most)
    # Squares in any case: the experiment has pictures of one size.
    geometry = Geometry(resolution_px, "pad" if settings.prepare.fit == "pad" else "crop")
    return [np.asarray(geometry.picture(picture.image)) for picture in decoded]
