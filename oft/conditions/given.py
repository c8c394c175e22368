"""Conditioning images that the data set brings: taken as they are."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from oft.conditions.condition import Condition
from oft.datasets.annotations import CONDITIONING_PICTURE


def extract_given(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the given picture itself, uint8 [height, width, 3], RGB.

    Its conventions are those of its data set; fill50k (Zhang and Agrawala 2023) has white circle outlines on
    black.
    """
    return picture


CONDITION = Condition(
    "given",
    shows="anything",
    title="Given condition to picture",
    explanation=(
        "The condition is a picture that the data set brings beside the real one. The model must draw the "
        "picture that belongs to it."
    ),
    annotation=CONDITIONING_PICTURE,
    extract=extract_given,
)
