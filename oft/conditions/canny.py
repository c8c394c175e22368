"""Canny edges, with ControlNet's thresholds."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, model_validator

from oft.conditions.condition import Condition
from oft.settings.section import Section


class CannySettings(Section):
    """Thresholds of the edge detector."""

    low_threshold: Annotated[int, Field(ge=0, le=255)]
    high_threshold: Annotated[int, Field(ge=0, le=255)]

    @model_validator(mode="after")
    def _ordered(self) -> CannySettings:
        if self.low_threshold >= self.high_threshold:
            raise ValueError(
                f"low_threshold ({self.low_threshold}) must be below high_threshold ({self.high_threshold})"
            )
        return self


def extract_canny(
    image: UInt8[np.ndarray, "h w 3"], low_threshold: int | float = 100, high_threshold: int | float = 200
) -> UInt8[np.ndarray, "h w 3"]:
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


CONDITION = Condition(
    "canny",
    shows="edges (Canny 1986)",
    title="Edges to picture",
    explanation=(
        "The condition is a drawing of edges, white on black, found in a picture by the Canny detector. The "
        "model must draw a picture that has its edges exactly there."
    ),
    settings=CannySettings,
    extract=extract_canny,
)
