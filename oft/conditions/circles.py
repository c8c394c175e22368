"""The outlines of circles that fill50k brings."""

from __future__ import annotations

from oft.conditions.condition import Condition
from oft.conditions.given import extract_given
from oft.datasets.annotations import CIRCLE_OUTLINES

CONDITION = Condition(
    "circles",
    shows="fill50k's circles",
    title="Circle to picture",
    explanation=(
        "The condition is the outline of a circle. The model must fill it, and all around it, with the "
        "colours that the prompt names."
    ),
    annotation=CIRCLE_OUTLINES,
    extract=extract_given,
)
