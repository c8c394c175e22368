"""Crops, sizes, turns and margins, the same for a picture and for what lies over it."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray
from PIL import Image

Size = tuple[int, int]
"""Width and height, pixels."""

Position = tuple[float, float]
"""Where a box lies in a picture: left and top as shares, 0 to below 1, of the places there are."""

Resample = Literal["lanczos", "area", "nearest"]
RESAMPLING: dict[str, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}

_Scalar = TypeVar("_Scalar", bound=np.generic)


def prepare(
    image: Image.Image,
    size_px: int | Size,
    resample: Resample | Image.Resampling = "lanczos",
    position: Position | None = None,
) -> Image.Image:
    """Return as much of a picture as fits, at a size; one number is the side of a square.

    Args:
        position: where it is cut out; None is the centre.
    """
    chosen = RESAMPLING[resample] if isinstance(resample, str) else resample
    size = (size_px, size_px) if isinstance(size_px, int) else size_px
    return image.crop(crop_box(image.size, size, position)).resize(size, chosen)


def prepare_labels(
    labels: Integer[np.ndarray, "h w"], size_px: int | Size, position: Position | None = None
) -> Integer[np.ndarray, "new_h new_w"]:
    """Return an id map [height, width] cropped and resized as `prepare` does, nearest: no new id appears."""
    if labels.ndim != 2:
        raise ValueError(f"an id map has the shape [height, width], got {labels.shape}")
    # One code path for pictures and maps: equal geometry by construction.
    return np.asarray(prepare(_to_image(labels), size_px, "nearest", position)).astype(labels.dtype)


def turn_array(array: NDArray[_Scalar], turn: Image.Transpose) -> NDArray[_Scalar]:
    """Return a picture or id map [height, width, ...] turned as PIL turns a picture."""
    return np.asarray(_to_image(array).transpose(turn)).astype(array.dtype)


def crop_box(source: Size, target: Size, position: Position | None = None) -> tuple[int, int, int, int]:
    """Return the largest box in ``source`` with the proportions of ``target``: left, top, right, bottom.

    Without a position it lies in the middle.
    """
    (width, height), (target_width, target_height) = source, target
    if width * target_height > height * target_width:
        width = max(1, (height * target_width + target_height // 2) // target_height)
    else:
        height = max(1, (width * target_height + target_width // 2) // target_width)
    slack = source[0] - width, source[1] - height
    if position is None:
        left, top = slack[0] // 2, slack[1] // 2
    else:
        left, top = (int(share * (room + 1)) for share, room in zip(position, slack, strict=True))
    return left, top, left + width, top + height


def pad_to_square(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Return a picture or map [height, width, ...] padded to its longer side, its edges repeated outwards.

    For tall pictures of one thing, whose centre square would lose head and feet (DeepFashion-MultiModal).
    """
    height, width = array.shape[:2]
    return np.pad(array, (*pad_margins(width, height), *[(0, 0)] * (array.ndim - 2)), mode="edge")


def pad_margins(width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return what `pad_to_square` adds: above and below, left and right."""
    rows, columns = max(width - height, 0), max(height - width, 0)
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def _to_image(array: NDArray[Any]) -> Image.Image:
    """Return an array as PIL's picture, exactly: its 32-bit mode holds every id."""
    return Image.fromarray(array if array.dtype == np.uint8 else array.astype(np.int32))
