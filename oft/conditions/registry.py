"""Conditions by name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped, UInt8
from pydantic import create_model

from oft.conditions.condition import Condition
from oft.errors import DataError
from oft.settings.section import Section


def _declared() -> Iterator[Condition]:
    """Yield the condition of each module of this folder that declares one, in order of the modules' names."""
    for found in iter_modules([str(Path(__file__).parent)], "oft.conditions."):
        if found.name != __name__ and hasattr(module := import_module(found.name), "CONDITION"):
            yield module.CONDITION


CONDITIONS: dict[str, Condition] = {made.name: made for made in _declared()}
"""All conditions; a file in this folder adds one by ``CONDITION``, code from elsewhere by an entry here."""


class Conditions(Section):
    """Settings of each condition, under its name."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def parse_settings(values: Any) -> Conditions:
    """Return the settings of all conditions.

    Raises:
        ValidationError: a condition is missing or unknown, or a setting breaks its condition's rules.
    """
    fields: dict[str, Any] = {name: (condition.settings, ...) for name, condition in CONDITIONS.items()}
    return create_model("Conditions", __base__=Conditions, **fields).model_validate(values)


def extract_condition(
    condition: Condition,
    image: UInt8[np.ndarray, "h w 3"],
    annotation: Shaped[np.ndarray, "*shape"] | None,
    **settings: Any,
) -> UInt8[np.ndarray, "h w 3"]:
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
    if condition.annotation.kind == "landmarks":
        return condition.extract(annotation, image.shape[:2], **settings)
    return condition.extract(annotation, **settings)
