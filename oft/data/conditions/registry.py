"""Conditions by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oft.data.ade20k import NUM_CLASSES
from oft.data.conditions.canny import extract_canny
from oft.data.conditions.densepose import NUM_PARTS, extract_densepose
from oft.data.conditions.segmentation import extract_segmentation
from oft.errors import DataError


@dataclass(frozen=True)
class Condition:
    """How one kind of conditioning image is made.

    Attributes:
        name: its name in tasks and params.
        source: made from the picture itself or from its annotation.
        extract: uint8 [height, width, 3] or ids [height, width] -> uint8 [height, width, 3].
        annotation_channel: which channel of the annotation file holds the ids; None where it has one channel.
        num_labels: ids run from 0 to this minus one; None where there are none.
        keeps_labels: the id map itself goes into the shards, lossless, for evaluation: colours need not lead
            back to ids.
    """

    name: str
    source: Literal["image", "annotation"]
    extract: Callable[..., NDArray[np.uint8]]
    annotation_channel: int | None = None
    num_labels: int | None = None
    keeps_labels: bool = False


CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition("canny", "image", extract_canny),
        Condition(
            "segmentation", "annotation", extract_segmentation, num_labels=NUM_CLASSES + 1, keeps_labels=True
        ),
        Condition(
            "densepose",
            "annotation",
            extract_densepose,
            annotation_channel=2,
            num_labels=NUM_PARTS + 1,
            keeps_labels=True,
        ),
    )
}


def extract_condition(
    condition: Condition, image: NDArray[np.uint8], labels: NDArray[np.integer] | None, **settings: Any
) -> NDArray[np.uint8]:
    """Return the conditioning image of a prepared picture, uint8 [height, width, 3].

    Args:
        condition: an entry of `CONDITIONS`.
        image: uint8 [height, width, 3], at the run's size.
        labels: its id map [height, width] at the same size, where the data set has one.
        settings: passed on to the extractor (canny: ``low``, ``high``).

    Raises:
        DataError: the condition needs an annotation and the data set has none.
    """
    if condition.source == "image":
        return condition.extract(image, **settings)
    if labels is None:
        raise DataError(
            f"the condition {condition.name!r} is made from an annotation and this data set has none; "
            "pair the condition with a data set that has one, or choose a condition made from the picture"
        )
    return condition.extract(labels, **settings)
