"""Canny edges as kornia 0.7 finds them: the conditioning image, and the judge, of ControlNet++'s protocol.

The package is not asked, because its releases disagree where two maxima are equal: in 0.9 one of them is an
edge, in 0.7.0, which ControlNet++ pins (requirements.txt of liming-ai/ControlNet_Plus_Plus), neither is but
for rounding. On photographs both agree with this file to the pixel; where flat areas meet in a hard step
rounding decides, and no two implementations agree.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from oft.conditions.condition import Condition

LOW_THRESHOLD, HIGH_THRESHOLD = 0.1, 0.2
"""Of the gradient of a picture in 0..1, above which an edge goes on and begins: eval/eval.py's."""

BLUR_PX, BLUR_SIGMA = 5, 1.0
EPSILON = 1e-6
STEPS = np.array([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)])
"""Rows down and columns to the right of the neighbour in direction k, k times 45 degrees from the right."""


def extract_canny_kornia(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return white edges on black, uint8 [height, width, 3].

    ``kornia.filters.canny`` 0.7 (Canny 1986) of the picture in 0..1 with thresholds .1 and .2: grey by
    ITU-R 601, blurred with 5 x 5 pixels of deviation 1, Sobel's gradient without a norm, thinned to what
    exceeds both neighbours along it, and of what exceeds the lower threshold the pieces that somewhere exceed
    the higher.

    Args:
        image: uint8 [height, width, 3], RGB.
    """
    edges = _keep_strong(_thin(*_gradient(image)))
    return np.repeat((edges * np.uint8(255))[..., None], 3, axis=2)


def _gradient(
    image: UInt8[np.ndarray, "h w 3"],
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Return the gradient to the right and down of the blurred grey picture."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(image, dtype=np.float32) / 255, cv2.COLOR_RGB2GRAY)
    blurred = cv2.GaussianBlur(grey, (BLUR_PX, BLUR_PX), BLUR_SIGMA, borderType=cv2.BORDER_REFLECT_101)
    across, down = (
        cv2.Sobel(blurred, cv2.CV_32F, *order, ksize=3, borderType=cv2.BORDER_REPLICATE)
        for order in ((1, 0), (0, 1))
    )
    return np.asarray(across), np.asarray(down)


def _thin(across: Float32[np.ndarray, "h w"], down: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return the gradient's length where it exceeds that of both neighbours in its direction, else 0."""
    length = np.sqrt(across * across + down * down + np.float32(EPSILON))
    direction = np.rint(np.arctan2(down, across) * np.float32(4 / np.pi)).astype(int)
    padded = np.pad(length, 1)
    rows, columns = np.indices(length.shape) + 1
    is_largest = np.ones(length.shape, bool)
    for opposite in (0, 4):
        right_down = STEPS[(direction + opposite) % len(STEPS)]
        is_largest &= length > padded[rows + right_down[..., 0], columns + right_down[..., 1]]
    return np.asarray(length * is_largest)


def _keep_strong(length: Float32[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the edges that are connected, by sides or corners, to one above the higher threshold."""
    import cv2

    _, pieces = cv2.connectedComponents((length > LOW_THRESHOLD).astype(np.uint8), connectivity=8)
    strong = np.unique(pieces[length > HIGH_THRESHOLD])
    return np.isin(pieces, strong)


CONDITION = Condition(
    "canny_kornia",
    shows="edges as ControlNet++ finds them",
    title="Edges to picture, as in ControlNet++",
    explanation=(
        "The condition is a drawing of edges, white on black, found in a picture by kornia's Canny detector "
        "with ControlNet++'s thresholds. The model must draw a picture that has its edges exactly there."
    ),
    extract=extract_canny_kornia,
)
