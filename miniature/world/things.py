"""The things of the miniature world, each drawn by a pen in its own coordinates: foot at 0, about 1 large.

Few, large, plain shapes: what a picture of 64 pixels and an autoencoder that shrinks it eight times can show.
"""

from __future__ import annotations

import math

import numpy as np

from miniature.world.colours import NAMED, vary
from miniature.world.rendered import Colour, Pen, shade

GLASS: Colour = (96.0, 122.0, 150.0)
TYRE: Colour = (42.0, 42.0, 48.0)
SKINS: tuple[Colour, ...] = (
    (244.0, 208.0, 178.0),
    (226.0, 178.0, 140.0),
    (176.0, 122.0, 84.0),
    (118.0, 78.0, 56.0),
)
HAIRS: dict[str, Colour] = {
    "black": (44.0, 38.0, 38.0),
    "brown": (108.0, 70.0, 44.0),
    "blond": (222.0, 186.0, 112.0),
    "red": (172.0, 78.0, 40.0),
    "grey": (168.0, 166.0, 164.0),
}
ROOF: Colour = (104.0, 62.0, 54.0)
TRUNK: Colour = (104.0, 74.0, 50.0)
CROWN: Colour = (54.0, 118.0, 58.0)
NEEDLES: Colour = (38.0, 98.0, 76.0)


def shadow_side(pen: Pen) -> int:
    """Return the thing's own side that lies in the shade, 1 for its right."""
    return -pen.light.side * (-1 if pen.mirrored else 1)


def draw_house(pen: Pen, colour: Colour) -> None:
    """Draw a house 1 wide and .9 high from the front: walls, a roof, a door, a window."""
    side = shadow_side(pen)
    pen.box(-0.42, 0.0, 0.42, 0.52, colour)
    pen.box(side * 0.26, 0.0, side * 0.42, 0.52, shade(colour, 0.8), detail=True)
    pen.polygon(((-0.52, 0.5), (0.52, 0.5), (0.3, 0.9), (-0.3, 0.9)), ROOF)
    pen.box(-0.26, 0.0, -0.06, 0.34, shade(NAMED["brown"], 0.7), detail=True)
    pen.box(0.08, 0.18, 0.28, 0.38, (250.0, 232.0, 160.0), detail=True)


def draw_building(pen: Pen, colour: Colour) -> None:
    """Draw a tall block 1 high with bands of windows and one side in the shade."""
    side = shadow_side(pen)
    pen.box(-0.24, 0.0, 0.24, 1.0, colour)
    for y in (0.2, 0.46, 0.72):
        pen.box(-0.18, y, 0.18, y + 0.14, GLASS, detail=True)
    pen.box(side * 0.18, 0.0, side * 0.24, 1.0, shade(colour, 0.7), detail=True)


def draw_tree(pen: Pen, shape: str) -> None:
    """Draw a tree 1 high: 'round' or 'conifer'."""
    side = pen.light.side * (-1 if pen.mirrored else 1)
    pen.box(-0.06, 0.0, 0.06, 0.4, TRUNK)
    if shape == "conifer":
        for low, high, half in ((0.2, 0.72, 0.32), (0.5, 1.0, 0.24)):
            pen.polygon(((-half, low), (half, low), (0, high)), shade(NEEDLES, 0.84))
            pen.polygon(((side * half, low), (0, low), (0, high)), shade(NEEDLES, 1.1), detail=True)
        return
    pen.oval(0, 0.66, 0.34, 0.34, shade(CROWN, 0.84))
    pen.oval(side * 0.07, 0.72, 0.24, 0.24, shade(CROWN, 1.12), detail=True)


def draw_car(pen: Pen, colour: Colour) -> None:
    """Draw a car from the side, 1 long and .5 high."""
    pen.polygon(((-0.32, 0.3), (0.28, 0.3), (0.14, 0.52), (-0.26, 0.52)), shade(colour, 0.86))
    pen.polygon(((-0.24, 0.32), (0.2, 0.32), (0.11, 0.47), (-0.2, 0.47)), GLASS, detail=True)
    pen.polygon(((-0.5, 0.1), (0.5, 0.1), (0.5, 0.26), (0.4, 0.34), (-0.47, 0.34), (-0.5, 0.3)), colour)
    for x in (-0.29, 0.29):
        pen.oval(x, 0.12, 0.12, 0.12, TYRE)


def draw_boat(pen: Pen, colour: Colour) -> None:
    """Draw a sailing boat, 1 long and 1 high."""
    sail = (244.0, 240.0, 228.0)
    pen.box(-0.06, 0.2, 0.0, 1.0, TRUNK)
    pen.polygon(((0.02, 0.32), (0.42, 0.32), (0.02, 0.98)), sail)
    pen.polygon(((-0.5, 0.28), (0.52, 0.28), (0.34, 0.0), (-0.34, 0.0)), colour)
    pen.polygon(((-0.42, 0.12), (0.42, 0.12), (0.34, 0.0), (-0.34, 0.0)), shade(colour, 0.74), detail=True)


def draw_person(pen: Pen, rng: np.random.Generator, shirt: Colour, trousers: Colour) -> None:
    """Draw a standing person 1 high."""
    skin = SKINS[int(rng.integers(len(SKINS)))]
    hair = list(HAIRS.values())[int(rng.integers(len(HAIRS)))]
    stride = float(rng.uniform(0.06, 0.12))
    for sign, tone in ((-1, 0.84), (1, 1.0)):
        pen.limb((sign * 0.07, 0.46), (sign * stride, 0.04), 0.17, 0.13, shade(trousers, tone))
    for sign in (-1, 1):
        pen.limb((sign * 0.17, 0.74), (sign * 0.24, 0.46), 0.12, 0.1, shade(shirt, 0.86))
    pen.polygon(((-0.15, 0.42), (0.15, 0.42), (0.18, 0.8), (-0.18, 0.8)), shirt)
    pen.oval(0, 0.9, 0.11, 0.11, hair)
    pen.oval(0, 0.87, 0.09, 0.09, skin)


def draw_ball(pen: Pen, colour: Colour) -> None:
    """Draw a ball 1 across with a white band, one side in the shade."""
    pen.ball(0, 0.5, 0.5, 0.5, colour, 0.3)
    pen.polygon(((-0.48, 0.4), (0.48, 0.4), (0.48, 0.6), (-0.48, 0.6)), NAMED["white"], detail=True)


def draw_cup(pen: Pen, colour: Colour) -> None:
    """Draw a cup with a handle, 1 high."""
    side = shadow_side(pen)
    pen.oval(0.42, 0.52, 0.24, 0.28, shade(colour, 0.84))
    pen.oval(0.42, 0.52, 0.11, 0.15, shade(colour, 0.4), detail=True)
    pen.polygon(((-0.42, 0.92), (0.42, 0.92), (0.3, 0.0), (-0.3, 0.0)), colour)
    pen.polygon(
        ((side * 0.42, 0.92), (side * 0.22, 0.92), (side * 0.15, 0.0), (side * 0.3, 0.0)),
        shade(colour, 0.8),
        detail=True,
    )
    pen.oval(0, 0.92, 0.42, 0.11, (84.0, 56.0, 42.0))


def draw_dog(pen: Pen, colour: Colour) -> None:
    """Draw a dog from the side, about 1.1 long and .9 high."""
    pen.limb((-0.4, 0.5), (-0.52, 0.76), 0.12, 0.09, shade(colour, 0.84))
    for x in (-0.34, 0.22):
        pen.limb((x, 0.36), (x, 0.05), 0.17, 0.14, colour)
    pen.polygon(((-0.46, 0.3), (0.32, 0.3), (0.34, 0.58), (-0.44, 0.58)), colour)
    pen.oval(0.38, 0.72, 0.19, 0.18, colour)
    pen.limb((0.44, 0.68), (0.6, 0.66), 0.19, 0.15, shade(colour, 1.12))
    pen.limb((0.28, 0.8), (0.22, 0.6), 0.13, 0.15, shade(colour, 0.6))
    pen.oval(0.66, 0.68, 0.05, 0.05, TYRE, detail=True)
    pen.oval(0.44, 0.77, 0.04, 0.04, TYRE, detail=True)


def draw_flower(pen: Pen, colour: Colour) -> None:
    """Draw a flower on a stem with two leaves, 1 high."""
    stem = (62.0, 124.0, 56.0)
    pen.limb((0, 0), (0, 0.6), 0.09, 0.08, stem)
    for sign in (-1, 1):
        pen.limb((0, 0.14), (sign * 0.28, 0.34), 0.07, 0.16, stem)
    for index in range(5):
        turn = 2 * math.pi * index / 5 + math.pi / 2
        pen.oval(0.2 * math.cos(turn), 0.72 + 0.2 * math.sin(turn), 0.17, 0.17, colour)
    pen.oval(0, 0.72, 0.13, 0.13, (244.0, 206.0, 70.0))


def shirt_and_trousers(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Return the colours of a passer-by's clothes, which captions do not name."""
    shirts, trousers = ("red", "yellow", "blue", "green", "white", "orange"), ("blue", "black", "brown")
    return vary(rng, NAMED[str(rng.choice(shirts))]), vary(rng, NAMED[str(rng.choice(trousers))])
