"""From a reader's examples to decoded pictures: a broken file is counted and skipped, it ends no run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oft.data.pictures import PictureError, load_labels, load_picture
from oft.types import Counts, Example

Decoded = tuple[Example, Image.Image, NDArray[np.integer] | None]


def iterate_pictures(
    examples: Iterable[Example],
    counts: Counts,
    min_side_px: int,
    *,
    with_annotations: bool = True,
    annotation_channel: int | None = None,
    num_labels: int | None = None,
) -> Iterator[Decoded]:
    """Yield each usable example with its picture (RGB) and its annotation (ids [height, width]), both full
    size.

    Once the iterator is exhausted, ``counts.seen`` (counted by the reader) is ``kept`` plus everything
    dropped. Reasons: those of `PictureError`, the same behind ``annotation_``, ``size_mismatch`` (picture and
    annotation differ in size) and ``label_out_of_range``.

    Args:
        examples: what a reader yields.
        counts: the tally that the reader of ``examples`` keeps as well.
        min_side_px: pictures whose shorter side is below this are dropped as ``too_small``.
        with_annotations: False leaves annotation files alone (conditions made from the picture itself).
        annotation_channel: see `oft.data.pictures.load_labels`.
        num_labels: ids at or above this are out of range; None allows any.
    """
    for example in examples:
        try:
            image = load_picture(example.image)
            if min(image.size) < min_side_px:
                raise PictureError("too_small", example.image.name)
        except PictureError as error:
            counts.drop(error.reason, error.name)
            continue
        labels = None
        if with_annotations and example.annotation is not None:
            try:
                labels = load_labels(example.annotation, annotation_channel)
            except PictureError as error:
                counts.drop(f"annotation_{error.reason}", error.name)
                continue
            if labels.shape != (image.height, image.width):
                counts.drop("size_mismatch", example.image.name)
                continue
            if num_labels is not None and int(labels.max(initial=0)) >= num_labels:
                counts.drop("label_out_of_range", example.annotation.name)
                continue
        counts.kept += 1
        yield example, image, labels
