"""Line art without a network: what is darker than its surroundings."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from oft.conditions.condition import Condition
from oft.settings.section import Section

# The shorter side, in pixels, of the pictures that sigma_px speaks of.
REFERENCE_SIDE_PX = 512


class LineartStandardSettings(Section):
    """The blur and the threshold of the lines."""

    sigma_px: Annotated[float, Field(gt=0, le=64)]
    intensity_threshold: Annotated[float, Field(ge=0, le=255)]


def extract_lineart_standard(
    image: UInt8[np.ndarray, "h w 3"], sigma_px: float = 6.0, intensity_threshold: float = 8.0
) -> UInt8[np.ndarray, "h w 3"]:
    """Return white lines on black, grey where they are faint, uint8 [height, width, 3].

    The "standard" line art of ControlNet's annotators (controlnet_aux ``LineartStandardDetector``, the same
    values at 512 px): how far a pixel is below the blurred picture in its brightest channel, scaled so that
    the median line is 127 of 255.

    Args:
        image: uint8 [height, width, 3], RGB.
        sigma_px: standard deviation of the blur, pixels of a picture with a shorter side of 512 px; scaled
            with the picture.
        intensity_threshold: grey levels a line must be darker by to count in the median.
    """
    import cv2

    sigma = sigma_px * min(image.shape[:2]) / REFERENCE_SIDE_PX
    levels = image.astype(np.float32)
    darker = np.min(cv2.GaussianBlur(levels, (0, 0), sigma) - levels, axis=2).clip(0, 255)
    lines = darker[darker > intensity_threshold]
    # Below 16 the median is noise: it would be blown up into lines.
    scale = max(16.0, float(np.median(lines))) if len(lines) else 16.0
    drawn = (darker / np.float32(scale) * 127).clip(0, 255).astype(np.uint8)
    return np.repeat(drawn[..., None], 3, axis=2)


CONDITION = Condition(
    "lineart_standard",
    shows="what is darker than its surroundings",
    title="Line art to picture",
    explanation=(
        "The condition is what is darker than its surroundings in a picture, as light lines on black. The "
        "model must draw a picture with its lines exactly there."
    ),
    settings=LineartStandardSettings,
    extract=extract_lineart_standard,
)
