"""The things of the miniature world, each drawn by a pen in its own coordinates: foot at 0, about 1 large."""

from __future__ import annotations

import math

import numpy as np

from miniature.world.colours import NAMED, vary
from miniature.world.rendered import Colour, Pen, blend, shade

GLASS: Colour = (92.0, 118.0, 146.0)
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
ROOFS: tuple[Colour, ...] = ((112.0, 58.0, 48.0), (86.0, 82.0, 88.0), (146.0, 78.0, 54.0), (74.0, 62.0, 58.0))
CROWNS: tuple[Colour, ...] = (
    (62.0, 122.0, 58.0),
    (50.0, 104.0, 66.0),
    (98.0, 142.0, 56.0),
    (206.0, 132.0, 50.0),
)
TRUNK: Colour = (96.0, 70.0, 50.0)


def draw_house(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a house 1 wide with a gable to the front and its roof running back to one side."""
    front = float(rng.uniform(0.4, 0.52))
    wall = float(rng.uniform(0.42, 0.52))
    ridge = wall + float(rng.uniform(0.26, 0.36))
    roof = vary(rng, ROOFS[int(rng.integers(len(ROOFS)))])
    lit_front = pen.light.side * (-1 if pen.mirrored else 1) < 0
    front_wall = shade(colour, 1.0 if lit_front else 0.8)
    side_wall = shade(colour, 0.74 if lit_front else 0.96)
    left, middle, right = -0.5, -0.5 + front, 0.5
    peak = (left + middle) / 2
    pen.polygon(((middle, 0.02), (right, 0.06), (right, wall), (middle, wall)), side_wall)
    pen.polygon(((left, 0), (middle, 0), (middle, wall), (peak, ridge), (left, wall)), front_wall)
    pen.polygon(
        (
            (peak - 0.01, ridge + 0.03),
            (right - 0.1, ridge + 0.01),
            (right + 0.05, wall - 0.03),
            (middle + 0.05, wall - 0.05),
        ),
        roof,
    )
    edge = shade(roof, 0.8)
    pen.limb((peak, ridge + 0.01), (left - 0.05, wall - 0.04), 0.06, 0.06, edge)
    pen.limb((peak, ridge + 0.01), (middle + 0.04, wall - 0.04), 0.05, 0.05, edge)
    if rng.random() < 0.5:
        x = float(rng.uniform(0.1, 0.25))
        pen.box(x, ridge - 0.08, x + 0.1, ridge + 0.12, shade(NAMED["brown"], 0.9))
    pane = blend(GLASS, (255.0, 236.0, 150.0), 0.75 if pen.light.tint[2] < 0.8 else 0.0)
    door = shade(NAMED["brown"], float(rng.uniform(0.6, 0.9)))
    pen.box(peak - 0.06, 0, peak + 0.07, 0.27, door, detail=True)
    pen.box(peak - 0.07, wall - 0.02, peak + 0.07, wall + 0.12, pane, detail=True)
    room = right - middle
    for share in (0.28, 0.72):
        x = middle + room * share
        pen.box(x - 0.075, 0.19, x + 0.075, 0.34, pane, detail=True)


def draw_building(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a tall block 1 high with a grid of windows and a shaded side."""
    width = float(rng.uniform(0.42, 0.62))
    depth = float(rng.uniform(0.08, 0.16))
    sign = pen.light.side * (-1 if pen.mirrored else 1)
    half = width / 2
    pen.box(-half, 0, half, 1, colour)
    side = (
        (-sign * half, 0.0),
        (-sign * (half + depth), 0.02),
        (-sign * (half + depth), 0.97),
        (-sign * half, 1.0),
    )
    pen.polygon(side, shade(colour, 0.68))
    pen.box(-half, 0.97, half, 1, shade(colour, 1.25), detail=True)
    columns = int(rng.integers(2, 4))
    floors = int(rng.integers(3, 6))
    pane = blend(GLASS, (255.0, 232.0, 140.0), 0.7 if pen.light.tint[2] < 0.8 else 0.12)
    for floor in range(floors):
        y = 0.2 + 0.75 * floor / floors
        for column in range(columns):
            x = -half + width * (column + 0.5) / columns
            pen.box(
                x - width * 0.29 / columns,
                y,
                x + width * 0.29 / columns,
                y + 0.43 / floors,
                pane,
                detail=True,
            )
    pen.box(-0.07, 0, 0.07, 0.13, shade(colour, 0.45), detail=True)


def draw_tree(pen: Pen, rng: np.random.Generator, shape: str) -> None:
    """Draw a tree 1 high: 'round', 'conifer' or 'palm'."""
    if shape == "conifer":
        _draw_conifer(pen, rng)
    elif shape == "palm":
        _draw_palm(pen, rng)
    else:
        _draw_round_tree(pen, rng)


def _draw_round_tree(pen: Pen, rng: np.random.Generator) -> None:
    weights = (0.4, 0.3, 0.2, 0.1)
    green = vary(rng, CROWNS[int(rng.choice(4, p=weights))], 12)
    pen.limb((0, 0), (0, 0.5), 0.12, 0.08, TRUNK)
    spread = float(rng.uniform(0.24, 0.34))
    blobs = [
        (-spread * 0.62, 0.5),
        (spread * 0.62, 0.52),
        (0.0, 0.5),
        (-spread * 0.35, 0.72),
        (spread * 0.35, 0.7),
        (0, 0.8),
    ]
    radii = rng.uniform(0.17, 0.22, len(blobs))
    for (x, y), radius in zip(blobs, radii, strict=True):
        pen.oval(x, y, float(radius), float(radius), shade(green, 0.72))
    side = pen.light.side
    for (x, y), radius in zip(blobs[2:], radii[2:], strict=True):
        pen.oval(x + side * 0.04, y + 0.03, float(radius) * 0.72, float(radius) * 0.72, green, detail=True)
    for (x, y), radius in zip(blobs[3:], radii[3:], strict=True):
        pen.oval(
            x + side * 0.07,
            y + 0.07,
            float(radius) * 0.4,
            float(radius) * 0.4,
            shade(green, 1.16),
            detail=True,
        )


def _draw_conifer(pen: Pen, rng: np.random.Generator) -> None:
    green = vary(rng, (44.0, 96.0, 72.0), 10)
    spread = float(rng.uniform(0.22, 0.3))
    pen.limb((0, 0), (0, 0.3), 0.09, 0.08, TRUNK)
    for level in range(3):
        low, high, half = 0.14 + 0.24 * level, 0.56 + 0.22 * level, spread * (1 - 0.24 * level)
        pen.polygon(((-half, low), (half, low), (0, high)), shade(green, 0.76))
        lit = half * pen.light.side
        pen.polygon(((lit, low), (lit * 0.05, low + 0.02), (0, high)), shade(green, 1.08), detail=True)


def _draw_palm(pen: Pen, rng: np.random.Generator) -> None:
    lean = float(rng.uniform(-0.16, 0.16))
    top = (lean, 0.74)
    pen.limb((0, 0), (lean * 0.4, 0.4), 0.1, 0.08, shade(TRUNK, 1.25))
    pen.limb((lean * 0.4, 0.4), top, 0.08, 0.07, shade(TRUNK, 1.3))
    green = vary(rng, (70.0, 140.0, 66.0), 12)
    for index, turn in enumerate((-2.75, -0.35, -2.3, -0.8, -3.35, 0.25, -1.57)):
        reach = 0.36 if index < 6 else 0.26
        middle = (top[0] + math.cos(turn) * reach * 0.6, top[1] - math.sin(turn) * reach * 0.5 + 0.05)
        tip = (top[0] + math.cos(turn) * reach, top[1] - math.sin(turn) * reach * 0.55 - 0.06)
        tone = shade(green, 0.78 + 0.07 * index)
        pen.limb(top, middle, 0.1, 0.12, tone)
        pen.limb(middle, tip, 0.12, 0.03, tone)


def draw_car(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a car from the side, 1 long."""
    roof = float(rng.uniform(0.38, 0.44))
    back = float(rng.choice([-0.46, -0.32, -0.26]))
    body = ((-0.5, 0.1), (0.5, 0.1), (0.5, 0.22), (0.44, 0.27), (0.22, 0.29), (-0.48, 0.28), (-0.5, 0.22))
    cabin = ((back, 0.26), (back + 0.07, roof), (0.06, roof), (0.26, 0.26))
    pen.polygon(cabin, shade(colour, 1.1))
    pen.polygon(body, colour)
    pen.polygon(((-0.5, 0.1), (0.5, 0.1), (0.5, 0.16), (-0.5, 0.16)), shade(colour, 0.7), detail=True)
    split = (back + 0.1) * 0.4
    pen.polygon(
        ((back + 0.06, 0.27), (back + 0.1, roof - 0.03), (split - 0.02, roof - 0.03), (split - 0.02, 0.27)),
        GLASS,
        True,
    )
    pen.polygon(
        ((split + 0.03, 0.27), (split + 0.03, roof - 0.03), (0.05, roof - 0.03), (0.2, 0.27)), GLASS, True
    )
    for x in (-0.29, 0.29):
        pen.oval(x, 0.1, 0.105, 0.105, TYRE)
        pen.oval(x, 0.1, 0.05, 0.05, (186.0, 188.0, 192.0), detail=True)
    pen.oval(0.47, 0.21, 0.03, 0.03, (255.0, 240.0, 180.0), detail=True)
    pen.oval(-0.48, 0.21, 0.025, 0.03, (200.0, 50.0, 44.0), detail=True)


def draw_car_end(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a car from behind or in front, 1 wide."""
    behind = bool(rng.random() < 0.5)
    for x in (-0.34, 0.34):
        pen.box(x - 0.1, 0, x + 0.1, 0.2, TYRE)
    pen.polygon(((-0.5, 0.12), (0.5, 0.12), (0.5, 0.42), (0.42, 0.5), (-0.42, 0.5), (-0.5, 0.42)), colour)
    pen.polygon(((-0.42, 0.48), (0.42, 0.48), (0.3, 0.82), (-0.3, 0.82)), shade(colour, 1.1))
    pen.polygon(((-0.34, 0.5), (0.34, 0.5), (0.25, 0.76), (-0.25, 0.76)), GLASS, detail=True)
    pen.box(-0.5, 0.12, 0.5, 0.22, shade(colour, 0.66), detail=True)
    lamp = (206.0, 44.0, 40.0) if behind else (255.0, 242.0, 190.0)
    for x in (-0.38, 0.38):
        pen.oval(x, 0.35, 0.08, 0.06, lamp, detail=True)


def draw_boat(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a sailing boat or a motor boat, 1 long."""
    if rng.random() < 0.6:
        pen.limb((0.0, 0.15), (0.0, 1.0), 0.04, 0.03, shade(TRUNK, 0.9))
        sail = vary(rng, (244.0, 240.0, 228.0), 8)
        pen.polygon(
            ((0.04, 0.28), (0.44, 0.28), (0.03, 0.97)), shade(sail, 0.98 if pen.light.side > 0 else 0.84)
        )
        pen.polygon(
            ((-0.04, 0.28), (-0.36, 0.28), (-0.03, 0.88)), shade(sail, 0.84 if pen.light.side > 0 else 0.98)
        )
    else:
        pen.box(-0.2, 0.2, 0.16, 0.46, (234.0, 234.0, 228.0))
        pen.box(-0.24, 0.44, 0.2, 0.5, shade(colour, 0.9))
        pen.box(-0.14, 0.29, 0.1, 0.4, GLASS, detail=True)
    pen.polygon(((-0.5, 0.24), (0.52, 0.26), (0.36, 0.0), (-0.38, 0.0)), colour)
    pen.polygon(((-0.44, 0.12), (0.43, 0.12), (0.36, 0.0), (-0.38, 0.0)), shade(colour, 0.68), detail=True)
    pen.polygon(((-0.5, 0.24), (0.52, 0.26), (0.49, 0.2), (-0.48, 0.19)), shade(colour, 1.3), detail=True)


def draw_fence(pen: Pen, left: float, right: float, colour: Colour) -> None:
    """Draw a fence 1 high between two places: two rails and posts."""
    pen.box(left, 0.3, right, 0.48, shade(colour, 0.86))
    pen.box(left, 0.66, right, 0.84, shade(colour, 0.92))
    count = max(round((right - left) / 0.85), 1)
    for index in range(count + 1):
        x = left + (right - left) * index / count
        pen.polygon(((x - 0.16, 0), (x + 0.16, 0), (x + 0.16, 0.95), (x, 1.08), (x - 0.16, 0.95)), colour)


def draw_person(pen: Pen, rng: np.random.Generator, shirt: Colour, trousers: Colour) -> None:
    """Draw a standing or walking person 1 high."""
    skin = SKINS[int(rng.integers(len(SKINS)))]
    hair = list(HAIRS.values())[int(rng.integers(len(HAIRS)))]
    stride, swing = float(rng.uniform(0.02, 0.13)), float(rng.uniform(0.03, 0.2))
    for sign, tone in ((-1, 0.82), (1, 1.0)):
        pen.limb((sign * 0.05, 0.48), (sign * stride, 0.06), 0.14, 0.1, shade(trousers, tone))
        pen.limb((sign * stride, 0.03), (sign * stride + 0.04, 0.03), 0.07, 0.06, TYRE)
    pen.limb((-0.13, 0.77), (-0.16 - swing * 0.8, 0.48), 0.1, 0.07, shade(shirt, 0.8))
    pen.oval(-0.16 - swing * 0.8, 0.46, 0.04, 0.04, skin)
    pen.polygon(((-0.13, 0.46), (0.13, 0.46), (0.17, 0.8), (0.08, 0.84), (-0.08, 0.84), (-0.17, 0.8)), shirt)
    pen.limb((0.13, 0.77), (0.16 + swing, 0.5), 0.1, 0.07, shade(shirt, 0.92))
    pen.oval(0.16 + swing, 0.48, 0.04, 0.04, skin)
    pen.oval(0, 0.93, 0.085, 0.095, hair)
    pen.oval(0, 0.905, 0.07, 0.075, skin)


def draw_ball(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a ball 1 across, plain or with a band."""
    pen.ball(0, 0.5, 0.5, 0.5, colour, 0.36)
    style = int(rng.integers(3))
    if style == 1:
        pen.polygon(((-0.47, 0.42), (0.47, 0.42), (0.47, 0.6), (-0.47, 0.6)), NAMED["white"], detail=True)
    elif style == 2:
        for x, y in ((0.0, 0.55), (-0.3, 0.3), (0.3, 0.32), (-0.2, 0.8), (0.24, 0.8)):
            pen.oval(x, y, 0.1, 0.1, NAMED["white"], detail=True)


def draw_cup(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a cup with a handle, 1 high."""
    pen.oval(0.42, 0.52, 0.24, 0.28, shade(colour, 0.8))
    hole = shade(colour, 0.42)
    pen.oval(0.42, 0.52, 0.12, 0.16, hole, detail=True)
    pen.polygon(((-0.4, 0.9), (0.4, 0.9), (0.3, 0.04), (0.18, 0.0), (-0.18, 0.0), (-0.3, 0.04)), colour)
    sign = -pen.light.side * (-1 if pen.mirrored else 1)
    pen.polygon(
        ((sign * 0.4, 0.9), (sign * 0.16, 0.9), (sign * 0.12, 0.0), (sign * 0.3, 0.04)),
        shade(colour, 0.76),
        True,
    )
    pen.oval(0, 0.9, 0.4, 0.1, shade(colour, 1.25))
    pen.oval(0, 0.89, 0.33, 0.07, (78.0, 50.0, 36.0), detail=True)
    if rng.random() < 0.4:
        pen.polygon(((-0.365, 0.6), (0.365, 0.6), (0.34, 0.4), (-0.34, 0.4)), shade(colour, 1.5), detail=True)


def draw_dog(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a dog from the side, about 1 long and .8 high."""
    dark = shade(colour, 0.74)
    for x in (-0.3, 0.2):
        pen.limb((x + 0.07, 0.35), (x + 0.09, 0.04), 0.13, 0.09, dark)
    pen.limb((-0.4, 0.48), (-0.56, float(rng.uniform(0.5, 0.8))), 0.1, 0.06, dark)
    pen.ball(-0.04, 0.42, 0.42, 0.19, colour, 0.26)
    for x in (-0.32, 0.22):
        pen.limb((x, 0.38), (x, 0.04), 0.15, 0.1, colour)
        pen.oval(x + 0.03, 0.035, 0.08, 0.04, colour)
    pen.limb((0.26, 0.46), (0.36, 0.66), 0.24, 0.2, colour)
    pen.ball(0.38, 0.7, 0.17, 0.15, colour, 0.22)
    pen.limb((0.46, 0.67), (0.58, 0.64), 0.17, 0.12, shade(colour, 1.08))
    pen.oval(0.64, 0.66, 0.035, 0.035, TYRE, detail=True)
    pen.oval(0.44, 0.75, 0.03, 0.03, TYRE, detail=True)
    pen.limb((0.29, 0.78), (0.24, 0.58), 0.11, 0.14, shade(colour, 0.6))


def draw_bottle(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a bottle with a label, 1 high."""
    pen.box(-0.09, 0.6, 0.09, 0.96, colour)
    pen.polygon(((-0.2, 0), (0.2, 0), (0.2, 0.52), (0.09, 0.7), (-0.09, 0.7), (-0.2, 0.52)), colour)
    sign = -pen.light.side * (-1 if pen.mirrored else 1)
    pen.box(sign * 0.1, 0.0, sign * 0.2, 0.52, shade(colour, 0.72), detail=True)
    pen.box(-sign * 0.16, 0.06, -sign * 0.1, 0.5, shade(colour, 1.4), detail=True)
    pen.box(-0.2, 0.16, 0.2, 0.38, vary(rng, NAMED["white"]), detail=True)
    pen.box(-0.1, 0.9, 0.1, 1.0, shade(colour, 0.5))


def draw_flower(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """Draw a flower on a stem with two leaves, 1 high."""
    stem = vary(rng, (70.0, 130.0, 60.0))
    pen.limb((0, 0), (0, 0.7), 0.07, 0.06, stem)
    pen.limb((0, 0.2), (-0.26, 0.42), 0.07, 0.14, stem)
    pen.limb((0, 0.14), (0.28, 0.32), 0.07, 0.14, shade(stem, 0.84))
    petals = int(rng.integers(5, 8))
    for index in range(petals):
        turn = 2 * math.pi * index / petals + 0.3
        tone = 0.86 if math.cos(turn) * pen.light.side < 0 else 1.05
        pen.oval(0.18 * math.cos(turn), 0.72 + 0.18 * math.sin(turn), 0.13, 0.13, shade(colour, tone))
    pen.ball(0, 0.72, 0.12, 0.12, (232.0, 184.0, 56.0), 0.2)
