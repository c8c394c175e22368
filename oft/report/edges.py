"""The condition found again in generated pictures, where that is cheap: edges need no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oft.report.plan import describe_task

Reextract = Callable[[str, NDArray[np.uint8]], NDArray[np.uint8] | None]
"""From a task's name and a picture [height, width, 3] to its condition, of that shape; None where costly."""


def edge_reextractor(params: Mapping[str, Any]) -> Reextract:
    """Return what finds edges again for the canny tasks of a run, with the run's thresholds."""
    thresholds = params.get("conditions", {}).get("canny", {})
    low, high = thresholds.get("low_threshold", 100), thresholds.get("high_threshold", 200)

    def reextract(task: str, picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        if describe_task(task, params).condition != "canny":
            return None
        from oft.conditions.canny import extract_canny

        return extract_canny(picture, low, high)

    return reextract
