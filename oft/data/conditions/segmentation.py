"""Segmentation maps in ADE20K's palette, ControlNet's convention."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oft.data.ade20k import NUM_CLASSES, colourise
from oft.errors import DataError


def extract_segmentation(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the coloured map, uint8 [height, width, 3].

    Args:
        labels: ids [height, width], 0 = other (black), 1 to 150 = ADE20K's classes.

    Raises:
        DataError: an id is out of range.
    """
    highest = int(labels.max(initial=0))
    if highest > NUM_CLASSES:
        raise DataError(
            f"ADE20K's ids run from 0 to {NUM_CLASSES}, got {highest}; give id maps, not coloured ones"
        )
    return colourise(labels.astype(np.uint8))
