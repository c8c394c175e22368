"""How similar reconstructed pictures are to the originals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import UInt8

# Variance of rounding to whole levels. No 8-bit picture is known better than that, and no score is infinite.
ROUNDING_ERROR = 1 / 12


def psnr_db(
    drawn: UInt8[np.ndarray, "n height width 3"], originals: UInt8[np.ndarray, "n height width 3"]
) -> float:
    """Return the mean over pictures of 10 log10(255² / mean squared error), dB."""
    squared = (drawn.astype(np.float64) - originals).reshape(len(originals), -1) ** 2
    return float(np.mean(10 * np.log10(255**2 / np.maximum(squared.mean(axis=1), ROUNDING_ERROR))))


def correlation(
    drawn: UInt8[np.ndarray, "n height width 3"], originals: UInt8[np.ndarray, "n height width 3"]
) -> float:
    """Return the mean over pictures of Pearson's correlation of all their values, -1 to 1.

    Brightness and contrast do not change it. Where either picture has one value throughout it counts as 0.
    """
    first, second = (_centred(pictures) for pictures in (drawn, originals))
    products = (first * second).sum(axis=1)
    sizes = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return float(np.mean(np.divide(products, sizes, out=np.zeros_like(products), where=sizes > 0)))


def _centred(pictures: UInt8[np.ndarray, "n height width 3"]) -> np.ndarray:
    values = pictures.reshape(len(pictures), -1).astype(np.float64)
    return np.asarray(values - values.mean(axis=1, keepdims=True))
