"""How a picture, and with it all that lies on it, is brought to the run's size and mirrored.

Everything of one sample goes through here, so that picture, id map, conditioning picture and landmarks keep
one geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import log
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oft.pictures import Position, Size, crop_box, pad_margins, pad_to_square, prepare, prepare_labels
from oft.seeding import derive_seed
from oft.types import AnnotationKind, Split

if TYPE_CHECKING:
    from oft.settings.data import Dataset

Fit = Literal["crop", "random_crop", "pad", "buckets"]

MAX_ASPECT = 2.5
"""No bucket is longer, in relation to its shorter side."""


def smallest_side_px(resolution_px: int) -> int:
    """Return the shorter side that a picture must have: one of less than half the run's size is a blur."""
    return max(1, resolution_px // 2)


@dataclass(frozen=True)
class Geometry:
    """How pictures come to the run's size.

    Attributes:
        resolution_px: the side of a square; in buckets, of the square that no bucket's area exceeds.
        fit: the centre square (crop), a square anywhere (random_crop), the whole with its edges repeated
            outwards (pad), or the nearest bucket and as little cut off as that takes (buckets).
        position: where the square of a random crop lies; ``of`` draws it.
    """

    resolution_px: int
    fit: Fit = "crop"
    position: Position | None = None

    def of(self, key: str) -> Geometry:
        """Return the geometry of one picture: where a random crop lies follows from the picture's key alone.

        Not from the run's seed, so that runs of several seeds share their conditions.
        """
        if self.fit != "random_crop":
            return self
        left, top = np.random.default_rng(derive_seed("random_crop", key)).random(2).tolist()
        return replace(self, position=(left, top))

    def size_px(self, source: Size) -> Size:
        """Return width and height that a picture of such a size gets."""
        if self.fit == "buckets":
            return nearest_bucket(source, buckets(self.resolution_px))
        return self.resolution_px, self.resolution_px

    def picture(self, image: Image.Image) -> Image.Image:
        """Return a picture at its new size."""
        if self.fit == "pad":
            image = Image.fromarray(pad_to_square(np.asarray(image)))
        return prepare(image, self.size_px(image.size), position=self.position)

    def annotation(self, kind: AnnotationKind, annotation: NDArray[Any], source: Size) -> NDArray[Any]:
        """Return what lies on a picture of the size ``source`` as it lies on the picture at its new size.

        No new id appears in a map. Landmarks are moved as the centres of pixels are; a crop may leave some
        outside. A conditioning picture is averaged, which adds no ringing beside its lines.
        """
        if kind == "landmarks":
            return self._points(annotation, source)
        if self.fit == "pad":
            annotation = pad_to_square(annotation)
        if kind == "labels":
            return prepare_labels(annotation, self.size_px(source), self.position)
        picture = prepare(Image.fromarray(annotation), self.size_px(source), "area", self.position)
        return np.asarray(picture)

    def _points(self, points: NDArray[Any], source: Size) -> NDArray[np.float64]:
        left, top = 0, 0
        if self.fit == "pad":
            (top, _), (left, _) = pad_margins(*source)
            source = (max(source), max(source))
        target = self.size_px(source)
        box = crop_box(source, target, self.position)
        scale = np.array([target[0] / (box[2] - box[0]), target[1] / (box[3] - box[1])])
        return (points + 0.5 + [left - box[0], top - box[1]]) * scale - 0.5


def geometry_of(settings: Dataset, resolution_px: int, split: Split) -> Geometry:
    """Return how the pictures of a split come to the run's size; those for validation are always square."""
    fit = settings.prepare.fit
    if split == "val" and fit in ("random_crop", "buckets"):
        fit = "crop"
    return Geometry(resolution_px, fit)


@cache
def buckets(resolution_px: int) -> tuple[Size, ...]:
    """Return the sizes of the buckets, width and height, from tall to wide; the square is one of them.

    Sides are multiples of an eighth of the resolution, of 8 pixels at least and 64 at most; no area is above
    resolution_px^2. At 512: 320 x 768, 384 x 640, 448 x 576, 512 x 512 and these turned.
    """
    step = min(64, max(8, resolution_px // 64 * 8))
    sizes = {(resolution_px, resolution_px)}
    for short in range(step, resolution_px, step):
        long = resolution_px**2 // short // step * step
        if short < long <= MAX_ASPECT * short:
            sizes |= {(short, long), (long, short)}
    return tuple(sorted(sizes, key=lambda size: (size[0] / size[1], size)))


def nearest_bucket(source: Size, sizes: Sequence[Size]) -> Size:
    """Return the bucket whose aspect is nearest to a picture's, by ratio; of two as near, the first."""
    aspect = log(source[0] / source[1])
    return min(sizes, key=lambda size: abs(log(size[0] / size[1]) - aspect))


def mirror_annotation(
    kind: AnnotationKind, annotation: NDArray[Any], width_px: int, mirrored: NDArray[np.integer] | None
) -> NDArray[Any]:
    """Return what lies on a picture as it lies on its mirror image; twice gives what was there.

    Args:
        kind: what the annotation is.
        annotation: at the picture's size.
        width_px: of the picture.
        mirrored: which id or landmark each one becomes (a left hand a right hand); None where none does.
    """
    if kind == "landmarks":
        flipped = annotation * [-1, 1] + [width_px - 1, 0]
        return flipped if mirrored is None else flipped[mirrored]
    flipped = np.ascontiguousarray(annotation[:, ::-1])
    return flipped if mirrored is None else mirrored[flipped].astype(annotation.dtype)
