"""From a reader's examples to decoded pictures: a broken file is counted and skipped, it ends no run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oft.datasets.landmarks import load_landmarks
from oft.pictures import PictureError, load_labels, load_picture, load_stored, turn_array
from oft.types import Annotation, AnnotationKind, ByteSource, Counts, Example


@dataclass(frozen=True)
class Wanted:
    """What of an example is decoded, and what it must be like.

    Attributes:
        min_side_px: pictures whose shorter side is below this are dropped as ``too_small``.
        annotation: what the annotation file holds; None leaves it alone, the picture is all that counts.
        annotation_channel: see `oft.pictures.load_labels`.
        num_labels: ids at or above this are out of range; None allows any.
    """

    min_side_px: int = 1
    annotation: AnnotationKind | None = None
    annotation_channel: int | None = None
    num_labels: int | None = None

    @classmethod
    def of(cls, annotation: Annotation | None, min_side_px: int = 1) -> Wanted:
        """Return what decodes a picture and, unless None, this annotation."""
        if annotation is None:
            return cls(min_side_px)
        return cls(min_side_px, annotation.kind, annotation.channel, annotation.num_labels)


@dataclass(frozen=True)
class Decoded:
    """A usable example, full size.

    Attributes:
        example: what the reader found.
        image: RGB.
        annotation: ids [height, width], a picture uint8 [height, width, 3], or points [n, 2] as x and y in
            pixels, by the kind that was wanted; None where none was.
    """

    example: Example
    image: Image.Image
    annotation: NDArray[Any] | None


class Unusable(Exception):
    """An example is dropped: ``reason`` is what data stages count, ``name`` the file at fault."""

    def __init__(self, reason: str, name: str) -> None:
        super().__init__(reason, name)
        self.reason, self.name = reason, name


def decode(example: Example, wanted: Wanted) -> Decoded:
    """Return an example with its picture, upright, and the annotation as it lies on that.

    An annotation of the size that a picture with an EXIF orientation is stored at was made on that; it is
    turned along.

    Raises:
        Unusable: the reasons are those of `PictureError`, the same behind ``annotation_`` (``missing`` also
            where the example has no annotation and one is wanted), ``size_mismatch`` (picture and annotation
            differ in size), ``orientation_unclear`` (the picture has to be turned; whether its annotation has
            to, sizes do not tell), ``label_out_of_range`` and ``landmarks_outside`` (a point lies further
            outside the picture than that is wide or high).
    """
    try:
        stored, turn = load_stored(example.image)
    except PictureError as error:
        raise Unusable(error.reason, error.name) from error
    image = stored if turn is None else stored.transpose(turn)
    if min(image.size) < wanted.min_side_px:
        raise Unusable("too_small", example.image.name)
    if wanted.annotation is None:
        return Decoded(example, image, None)
    if example.annotation is None:
        raise Unusable("annotation_missing", example.image.name)
    try:
        annotation = _load_annotation(example.annotation, wanted)
    except PictureError as error:
        raise Unusable(f"annotation_{error.reason}", error.name) from error
    size = None if wanted.annotation == "landmarks" else annotation.shape[1::-1]
    if turn is not None and (size is None or stored.size == image.size):
        raise Unusable("orientation_unclear", example.image.name)
    if turn is not None and size == stored.size:
        annotation = turn_array(annotation, turn)
    elif size not in (None, image.size):
        raise Unusable("size_mismatch", example.image.name)
    if wanted.annotation == "landmarks":
        # Centres of pixels lie at whole numbers.
        annotation = (annotation + 0.5) * _marked_scale(example, image) - 0.5
        if ((annotation < np.negative(image.size)) | (annotation > 2 * np.array(image.size))).any():
            raise Unusable("landmarks_outside", example.annotation.name)
    elif wanted.num_labels is not None and not 0 <= annotation.min() <= annotation.max() < wanted.num_labels:
        raise Unusable("label_out_of_range", example.annotation.name)
    return Decoded(example, image, annotation)


def iterate_pictures(examples: Iterable[Example], counts: Counts, wanted: Wanted) -> Iterator[Decoded]:
    """Yield each usable example decoded.

    Once the iterator is exhausted, ``counts.seen`` (counted by the reader) is ``kept`` plus everything
    dropped.

    Args:
        examples: what a reader yields.
        counts: the tally that the reader of ``examples`` keeps as well.
        wanted: see `decode`.
    """
    for example in examples:
        try:
            decoded = decode(example, wanted)
        except Unusable as error:
            counts.drop(error.reason, error.name)
            continue
        counts.kept += 1
        yield decoded


def _load_annotation(source: ByteSource, wanted: Wanted) -> NDArray[Any]:
    match wanted.annotation:
        case "labels":
            return load_labels(source, wanted.annotation_channel)
        case "picture":
            return np.asarray(load_picture(source))
        case _:
            return load_landmarks(source)


def _marked_scale(example: Example, image: Image.Image) -> NDArray[np.float64]:
    """How many pixels of the stored picture one of the marked picture is, along x and y."""
    return np.array(image.size) / (example.marked_side_px or image.size)
