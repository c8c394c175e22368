"""The colour words of the miniature world and what they look like."""

from __future__ import annotations

import numpy as np

from miniature.world.rendered import Colour

NAMED: dict[str, Colour] = {
    "red": (204.0, 50.0, 46.0),
    "orange": (232.0, 132.0, 44.0),
    "yellow": (238.0, 204.0, 70.0),
    "green": (66.0, 154.0, 84.0),
    "blue": (54.0, 100.0, 196.0),
    "purple": (132.0, 78.0, 170.0),
    "pink": (236.0, 144.0, 178.0),
    "white": (238.0, 236.0, 230.0),
    "black": (46.0, 46.0, 52.0),
    "grey": (142.0, 144.0, 148.0),
    "brown": (130.0, 86.0, 56.0),
}


def vary(rng: np.random.Generator, colour: Colour, amount: float = 10.0) -> Colour:
    """Return a colour near the given one: each channel shifted by up to ``amount`` (of 255)."""
    red, green, blue = rng.uniform(-amount, amount, 3)
    return (
        min(max(colour[0] + red, 0.0), 255.0),
        min(max(colour[1] + green, 0.0), 255.0),
        min(max(colour[2] + blue, 0.0), 255.0),
    )


def pick(rng: np.random.Generator, *names: str) -> tuple[str, Colour]:
    """Return one of the named colours, slightly varied, with its name."""
    name = names[int(rng.integers(len(names)))]
    return name, vary(rng, NAMED[name])
