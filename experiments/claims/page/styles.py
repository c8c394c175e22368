"""Colour and shape of each series, the same in every chart of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NUM_COLOURS = 8
"""page.css has so many: ``--series-0`` and on, each in a light and a dark tone."""

SHAPES: Mapping[str, str] = {
    "circle": "M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9z",
    "square": "M2 2h8v8h-8z",
    "triangle-up": "M6 1l5.2 9.2h-10.4z",
    "diamond": "M6 .4l5 5.6l-5 5.6l-5-5.6z",
    "cross": "M4.2 1h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z",
    "triangle-down": "M6 11l5.2-9.2h-10.4z",
    "triangle-right": "M11 6l-9.2 5.2v-10.4z",
}
"""Vega's shapes, and each as an SVG path in a box of 12: one fewer than colours, so pairs repeat late."""


@dataclass(frozen=True)
class Style:
    """How a series is drawn: a CSS colour that follows the page's scheme, and one of `SHAPES`."""

    colour: str
    shape: str

    @property
    def path(self) -> str:
        """The shape as an SVG path in a box of 12."""
        return SHAPES[self.shape]


def style_series(names: Iterable[str]) -> dict[str, Style]:
    """Return a style for each name, told apart by shape as well as by colour."""
    shapes = list(SHAPES)
    return {
        name: Style(f"var(--series-{place % NUM_COLOURS})", shapes[place % len(shapes)])
        for place, name in enumerate(dict.fromkeys(names))
    }
