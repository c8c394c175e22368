"""What metrics demand of the arrays they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oft.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8


def check_pictures(pictures: UInt8[np.ndarray, "n height width 3"]) -> None:
    """Raise unless ``pictures`` is a uint8 RGB stack with at least one picture.

    Raises:
        DataError: another type, another layout, or no picture at all.
    """
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3 or len(pictures) == 0:
        raise DataError(
            "pictures must be uint8 [N, height, width, 3] with N >= 1, "
            f"not {pictures.dtype} {list(pictures.shape)}; "
            "decode them as RGB and resize them to one size"
        )


def check_features(
    name: str, features: Float[np.ndarray, "n d"], *, at_least: int
) -> Float[np.ndarray, "n d"]:
    """Return ``features`` as float64 [N, D].

    Raises:
        DataError: another layout, fewer than ``at_least`` rows, or a value that is not finite.
    """
    if features.ndim != 2:
        raise DataError(
            f"{name} features must be [N, D], not {list(features.shape)}; flatten them per picture"
        )
    if len(features) < at_least:
        raise DataError(
            f"{name} features: at least {at_least} needed, {len(features)} given; sample more pictures"
        )
    if not np.isfinite(features).all():
        rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise DataError(
            f"{name} features must be finite; {len(rows)} of {len(features)} rows are not, "
            f"row {rows[0]} the first; "
            "look at those pictures and at the extractor's weights"
        )
    return features.astype(np.float64)


def check_same_width(
    first: str, a: Float[np.ndarray, "n d"], second: str, b: Float[np.ndarray, "m d"]
) -> None:
    """Raise unless both feature sets have the same number of columns.

    Raises:
        DataError: they differ, so they come from different extractors.
    """
    if a.shape[1] != b.shape[1]:
        raise DataError(
            f"{first} and {second} features must have one width, not {a.shape[1]} and {b.shape[1]}; "
            "extract both with the same model"
        )


def check_same_shape(first: str, a: np.ndarray, second: str, b: np.ndarray) -> None:
    """Raise unless both arrays have the same shape.

    Raises:
        DataError: they differ.
    """
    if a.shape != b.shape:
        raise DataError(
            f"{first} and {second} must have one shape, not {list(a.shape)} and {list(b.shape)}; "
            "pair them picture by picture at one resolution"
        )
