"""Colour and shape of each series, the same in every chart of the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NUM_COLOURS = 12
"""page.css has so many: ``--series-0`` and on, each in a light and a dark tone."""

SHAPES = (
    "M-0.9,0A0.9,0.9,0,1,1,0.9,0A0.9,0.9,0,1,1,-0.9,0z",  # circle
    "M-0.8,-0.8H0.8V0.8H-0.8z",  # square
    "M0,-1L1,0.8H-1z",  # triangle
    "M0,-1.1L1,0L0,1.1L-1,0z",  # diamond
    "M-0.33,-1H0.33V-0.33H1V0.33H0.33V1H-0.33V0.33H-1V-0.33H-0.33z",  # upright cross
    "M0,1L1,-0.8H-1z",  # triangle, tip down
    "M-1,-0.55L-0.55,-1L0,-0.45L0.55,-1L1,-0.55L0.45,0L1,0.55L0.55,1L0,0.45L-0.55,1L-1,0.55L-0.45,0z",  # x
    "M0,-1.1L0.27,-0.37L1,-0.34L0.44,0.14L0.65,0.9L0,0.46L-0.65,0.9L-0.44,0.14L-1,-0.34L-0.27,-0.37z",  # star
    "M-0.9,-1H0.9L0.25,0L0.9,1H-0.9L-0.25,0z",  # hourglass
    "M1,0L-0.8,1V-1z",  # triangle, tip right
    "M-1,-0.9L0,-0.25L1,-0.9V0.9L0,0.25L-1,0.9z",  # bow tie
    "M-1,0L0.8,1V-1z",  # triangle, tip left
)
"""SVG paths around 0, about 2 wide: Vega draws them in the chart, the page in its legend."""


@dataclass(frozen=True)
class Style:
    """How a series is drawn: a CSS colour that follows the page's scheme, and one of `SHAPES`."""

    colour: str
    shape: str


def style_series(names: Iterable[str]) -> dict[str, Style]:
    """Return a style for each name; the first `NUM_COLOURS` differ both in colour and in shape."""
    return {
        name: Style(
            f"var(--series-{place % NUM_COLOURS})",
            SHAPES[(place + place // NUM_COLOURS) % len(SHAPES)],
        )
        for place, name in enumerate(dict.fromkeys(names))
    }
