"""Canny edges, with ControlNet's thresholds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def extract_canny(
    image: NDArray[np.uint8], low_threshold: float = 100, high_threshold: float = 200
) -> NDArray[np.uint8]:
    """Return white edges on black, uint8 [height, width, 3].

    ``cv2.Canny`` on the three colour channels at once: a pixel's gradient is that of its strongest channel.

    Args:
        image: uint8 [height, width, 3], RGB.
        low_threshold: gradient (summed absolute Sobel responses) above which an edge goes on.
        high_threshold: gradient above which an edge begins.
    """
    import cv2

    edges = cv2.Canny(np.ascontiguousarray(image), low_threshold, high_threshold)
    return np.asarray(cv2.cvtColor(edges, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
