"""Conditions by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oft.conditions.ade20k_classes import NUM_CLASSES
from oft.conditions.canny import extract_canny
from oft.conditions.condition import Condition
from oft.conditions.densepose import MIRRORED_PARTS, NUM_PARTS, extract_densepose
from oft.conditions.depth import load_depth
from oft.conditions.given import extract_given
from oft.conditions.hed import load_hed
from oft.conditions.landmarks import MIRRORED_LANDMARKS, extract_landmarks
from oft.conditions.lineart import load_lineart
from oft.conditions.lineart_standard import extract_lineart_standard
from oft.conditions.mlsd import load_mlsd
from oft.conditions.normal import load_normal
from oft.conditions.openpose import load_openpose
from oft.conditions.scribble import load_scribble
from oft.conditions.segmentation import extract_segmentation, load_segmentation
from oft.errors import DataError

CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        # From the picture, without a network.
        Condition("canny", extract=extract_canny),
        Condition("lineart_standard", extract=extract_lineart_standard),
        # From the picture, by a network.
        Condition("depth", load=load_depth),
        Condition("hed", load=load_hed),
        Condition("lineart", load=load_lineart),
        Condition("mlsd", load=load_mlsd),
        Condition("normal", load=load_normal),
        Condition("openpose", load=load_openpose),
        Condition("scribble", load=load_scribble),
        # From what the data set has beside the picture.
        Condition(
            "segmentation",
            "labels",
            extract_segmentation,
            load_segmentation,
            num_labels=NUM_CLASSES + 1,
            keeps_labels=True,
        ),
        Condition(
            "densepose",
            "labels",
            extract_densepose,
            annotation_channel=2,
            num_labels=NUM_PARTS + 1,
            keeps_labels=True,
            mirrored=MIRRORED_PARTS,
        ),
        Condition("landmarks", "landmarks", extract_landmarks, mirrored=MIRRORED_LANDMARKS),
        Condition("circles", "picture", extract_given),
        Condition("given", "picture", extract_given),
    )
}


def extract_condition(
    condition: Condition, image: NDArray[np.uint8], annotation: NDArray[Any] | None, **settings: Any
) -> NDArray[np.uint8]:
    """Return the conditioning image of a prepared picture, uint8 [height, width, 3].

    Args:
        condition: an entry of `CONDITIONS` with ``extract``.
        image: uint8 [height, width, 3], at the run's size.
        annotation: what the data set has beside the picture, at the same size, where it has anything; or
            what a network found instead.
        settings: passed on to the extractor; those of a condition with a network are the network's.

    Raises:
        DataError: the condition needs an annotation and the data set has none.
    """
    assert condition.extract is not None, f"{condition.name} is made by a network"
    settings = {} if condition.load is not None else settings
    if condition.annotation is None:
        return condition.extract(image, **settings)
    if annotation is None:
        raise DataError(
            f"the condition {condition.name!r} is made from an annotation and this data set has none; "
            "pair the condition with a data set that has one, or choose a condition made from the picture"
        )
    if condition.annotation == "landmarks":
        return condition.extract(annotation, image.shape[:2], **settings)
    return condition.extract(annotation, **settings)
