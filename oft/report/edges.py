"""Extract the condition from generated pictures again, where that is cheap: edges need no model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oft.report.plan import describe_task

if TYPE_CHECKING:
    from oft.params import Params

Reextract = Callable[[str, NDArray[np.uint8]], NDArray[np.uint8] | None]
"""From a task's name and a picture [height, width, 3] to its condition, of that shape; None where costly."""


def edge_reextractor(params: Params) -> Reextract:
    """Return the function that extracts edges for the canny tasks of a run, with the run's thresholds."""
    thresholds = params.conditions.canny

    def reextract(task: str, picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        if describe_task(task, params).condition != "canny":
            return None
        from oft.conditions.canny import extract_canny

        return extract_canny(picture, thresholds.low_threshold, thresholds.high_threshold)

    return reextract
