"""Toys from several sides before several backgrounds: the miniature world's DreamBooth subjects."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from miniature.world.backdrops import BACKDROPS, paint_backdrop
from miniature.world.colours import NAMED, vary
from miniature.world.phrases import with_article
from miniature.world.rendered import Canvas, Colour, Light, Pen, Rendered, finish_image, shade
from miniature.world.surroundings import add_texture

MARKINGS = ("plain", "stripes", "spots", "star", "band", "zigzag")
DARK: Colour = (40.0, 40.0, 46.0)


@dataclass(frozen=True)
class Toy:
    """One particular toy.

    Attributes:
        name: the subject's name, '' for a passing toy.
        kind: the class word.
        main_word: the colour word of its body.
        main, second, accent: RGB of body, parts and marking.
        marking: one of ``MARKINGS``.
        build: 0 to 1, tells slim from stout and picks small parts.
    """

    name: str
    kind: str
    main_word: str
    main: Colour
    second: Colour
    accent: Colour
    marking: str
    build: float


SUBJECTS: dict[str, Toy] = {
    toy.name: toy
    for toy in (
        Toy(
            "robot_toy",
            "robot",
            "blue",
            (34.0, 164.0, 176.0),
            (250.0, 120.0, 40.0),
            (250.0, 226.0, 70.0),
            "star",
            0.7,
        ),
        Toy(
            "duck_toy",
            "duck",
            "purple",
            (150.0, 84.0, 196.0),
            (250.0, 150.0, 40.0),
            (240.0, 240.0, 120.0),
            "spots",
            0.6,
        ),
        Toy(
            "rocket_toy",
            "rocket",
            "white",
            (240.0, 238.0, 232.0),
            (214.0, 40.0, 60.0),
            (40.0, 70.0, 170.0),
            "stripes",
            0.4,
        ),
        Toy(
            "teapot",
            "teapot",
            "green",
            (40.0, 140.0, 96.0),
            (244.0, 202.0, 72.0),
            (246.0, 240.0, 224.0),
            "zigzag",
            0.8,
        ),
        Toy(
            "backpack",
            "backpack",
            "red",
            (222.0, 62.0, 66.0),
            (40.0, 60.0, 110.0),
            (250.0, 216.0, 80.0),
            "band",
            0.5,
        ),
        Toy(
            "monster_toy",
            "monster",
            "green",
            (150.0, 208.0, 60.0),
            (120.0, 60.0, 160.0),
            (250.0, 110.0, 170.0),
            "spots",
            0.9,
        ),
    )
}
KINDS = tuple(dict.fromkeys(toy.kind for toy in SUBJECTS.values()))


def random_toy(rng: np.random.Generator) -> Toy:
    """Return a toy of any kind in any colours."""
    words = list(NAMED)
    main, second, accent = (words[int(index)] for index in rng.choice(len(words), 3, replace=False))
    return Toy(
        name="",
        kind=KINDS[int(rng.integers(len(KINDS)))],
        main_word=main,
        main=vary(rng, NAMED[main]),
        second=vary(rng, NAMED[second]),
        accent=vary(rng, NAMED[accent]),
        marking=str(rng.choice(MARKINGS)),
        build=float(rng.random()),
    )


def render_toy(rng: np.random.Generator, toy: Toy, size_px: int, place: str | None = None) -> Rendered:
    """Render a toy from a random side, at a random size, before a random background.

    Args:
        rng: its state decides view and background.
        toy: the toy, e.g. one of ``SUBJECTS``.
        size_px: width and height of the picture.
        place: one of ``BACKDROPS``; any of them if None.

    Returns:
        Picture, labels all 0; captions name the toy's class word and the background, some its colour.
    """
    canvas = Canvas(size_px, size_px)
    any_place = str(rng.choice(list(BACKDROPS)))
    backdrop = paint_backdrop(canvas, rng, place or any_place)
    size = float(rng.uniform(0.42, 0.68))
    foot = (float(rng.uniform(0.38, 0.62)), float(rng.uniform(backdrop.top, backdrop.bottom)))
    light = backdrop.light
    level = float(rng.uniform(0.94, 1.04))
    light = Light((light.tint[0] * level, light.tint[1] * level, light.tint[2] * level), light.side)
    factor = 0.8 if backdrop.word == "water" else 0.64
    canvas.darken((foot[0] - light.side * size * 0.07, foot[1]), size * 0.45, size * 0.09, factor)
    pen = Pen(
        canvas,
        foot,
        size,
        light,
        canvas.add_segment(0, toy.kind, toy.main_word),
        squeeze=float(rng.uniform(0.8, 1.08)),
        mirrored=bool(rng.random() < 0.5),
        tilt=float(rng.uniform(-0.14, 0.14)),
    )
    _DRAWERS[toy.kind](pen, toy)
    labels = canvas.labels()
    image = finish_image(add_texture(canvas.image(), labels, rng, light))
    coloured = with_article(f"{toy.main_word} {toy.kind}")
    plain = with_article(toy.kind)
    captions = (
        f"{plain} {backdrop.phrase}",
        f"{coloured} {backdrop.phrase}",
        f"a photo of {plain} {backdrop.phrase}",
        f"a picture of {coloured} {backdrop.phrase}",
        f"{with_article(f'toy {toy.kind}')} {backdrop.phrase}",
    )
    return Rendered(image, np.zeros_like(labels), captions, (toy.kind, backdrop.word))


def _mark(pen: Pen, toy: Toy, x: float, y: float, width: float, height: float) -> None:
    """Draw the toy's marking within a box around (x, y)."""
    colour = toy.accent
    half_w = width / 2
    if toy.marking == "stripes":
        for index in (-1, 1):
            level = y + index * height * 0.24
            pen.box(x - half_w, level - height * 0.11, x + half_w, level + height * 0.11, colour, detail=True)
    elif toy.marking == "spots":
        for dx, dy, radius in (
            (-0.28, 0.26, 0.17),
            (0.26, 0.3, 0.14),
            (0.02, -0.06, 0.16),
            (-0.3, -0.3, 0.13),
            (0.3, -0.3, 0.17),
        ):
            reach = radius * min(width, height) * 1.1
            pen.oval(x + dx * width, y + dy * height, reach, reach, colour, detail=True)
    elif toy.marking == "star":
        turns = np.linspace(0, 2 * math.pi, 10, endpoint=False) + math.pi / 2
        radii = np.where(np.arange(10) % 2 == 0, 0.5, 0.22) * min(width, height)
        pen.polygon(
            np.stack([np.cos(turns) * radii + x, np.sin(turns) * radii + y], axis=1), colour, detail=True
        )
    elif toy.marking == "band":
        pen.box(x - half_w, y - height * 0.17, x + half_w, y + height * 0.17, colour, detail=True)
    elif toy.marking == "zigzag":
        xs = np.linspace(x - half_w, x + half_w, 7)
        wave = np.where(np.arange(7) % 2 == 0, -0.16, 0.16) * height + y
        band = height * 0.13
        outline = [*zip(xs, wave + band, strict=True), *zip(xs[::-1], wave[::-1] - band, strict=True)]
        pen.polygon(outline, colour, detail=True)


def _shadow_side(pen: Pen) -> int:
    """Return the toy's own side that lies in shadow, 1 for its right."""
    return -pen.light.side * (-1 if pen.mirrored else 1)


def _draw_robot(pen: Pen, toy: Toy) -> None:
    half = 0.2 + 0.06 * toy.build
    dark, side = shade(toy.main, 0.72), _shadow_side(pen)
    for x in (-0.12, 0.12):
        pen.box(x - 0.075, 0.0, x + 0.075, 0.24, shade(toy.second, 0.84))
        pen.box(x - 0.1, 0.0, x + 0.1, 0.07, shade(toy.second, 0.66))
    for sign in (-1, 1):
        pen.limb((sign * (half + 0.05), 0.54), (sign * (half + 0.1), 0.3), 0.1, 0.09, toy.second)
        pen.oval(sign * (half + 0.11), 0.26, 0.07, 0.07, shade(toy.second, 0.7))
    pen.box(-half, 0.2, half, 0.6, toy.main)
    pen.box(side * half * 0.66, 0.2, side * half, 0.6, dark, detail=True)
    _mark(pen, toy, 0, 0.4, half * 1.3, 0.32)
    pen.box(-0.07, 0.58, 0.07, 0.66, dark)
    head = 0.17 + 0.04 * toy.build
    pen.box(-head, 0.64, head, 0.9, shade(toy.main, 1.12))
    pen.box(side * head * 0.7, 0.64, side * head, 0.9, shade(toy.main, 0.8), detail=True)
    for x in (-0.08, 0.08):
        pen.oval(x, 0.79, 0.058, 0.058, (250.0, 248.0, 236.0), detail=True)
        pen.oval(x + 0.01, 0.79, 0.03, 0.03, DARK, detail=True)
    pen.box(-0.09, 0.67, 0.09, 0.71, toy.second, detail=True)
    pen.limb((0, 0.88), (0, 0.97), 0.04, 0.04, dark)
    pen.ball(0, 0.97, 0.055, 0.055, toy.second, 0.2)


def _draw_duck(pen: Pen, toy: Toy) -> None:
    stout = 0.3 + 0.06 * toy.build
    for x in (-0.1, 0.12):
        pen.limb((x, 0.1), (x + 0.02, 0.03), 0.09, 0.09, shade(toy.second, 0.8))
        pen.oval(x + 0.06, 0.03, 0.11, 0.035, toy.second)
    pen.polygon(((-0.3, 0.4), (-0.54, 0.56), (-0.28, 0.2)), shade(toy.main, 0.8))
    pen.ball(-0.04, 0.32, 0.4, stout * 0.78, toy.main, 0.3)
    pen.polygon(((0.1, 0.4), (0.34, 0.44), (0.36, 0.7), (0.08, 0.7)), shade(toy.main, 0.94))
    pen.ball(0.22, 0.76, 0.21, 0.2, shade(toy.main, 1.04), 0.26)
    pen.polygon(((0.38, 0.82), (0.38, 0.67), (0.6, 0.7), (0.6, 0.75)), toy.second)
    pen.polygon(((0.38, 0.73), (0.38, 0.67), (0.6, 0.7)), shade(toy.second, 0.76), detail=True)
    pen.oval(0.27, 0.83, 0.055, 0.06, (250.0, 248.0, 240.0), detail=True)
    pen.oval(0.285, 0.83, 0.032, 0.036, DARK, detail=True)
    pen.oval(-0.1, 0.34, 0.22, 0.13, shade(toy.main, 0.72), detail=True)
    _mark(pen, toy, -0.1, 0.33, 0.46, 0.3)
    if toy.build > 0.5:
        pen.limb((0.2, 0.93), (0.12, 1.0), 0.07, 0.04, toy.second)


def _draw_rocket(pen: Pen, toy: Toy) -> None:
    half = 0.15 + 0.05 * toy.build
    side = _shadow_side(pen)
    for sign in (-1, 1):
        pen.polygon(
            (
                (sign * half * 0.8, 0.42),
                (sign * (half + 0.2), 0.14),
                (sign * (half + 0.2), 0.0),
                (sign * half * 0.7, 0.16),
            ),
            toy.second,
        )
    pen.box(-half * 0.6, 0.03, half * 0.6, 0.16, DARK)
    turns = np.linspace(0, 1, 9)
    bulge = half * (0.78 + 0.22 * np.sin(turns * math.pi))
    heights = 0.1 + 0.62 * turns
    body = [*zip(-bulge, heights, strict=True), *zip(bulge[::-1], heights[::-1], strict=True)]
    pen.polygon(body, toy.main)
    nose = half * 0.78
    pen.polygon(
        ((-nose, 0.72), (nose, 0.72), (nose * 0.62, 0.88), (0, 1.0), (-nose * 0.62, 0.88)), toy.second
    )
    _mark(pen, toy, 0, 0.32, half * 1.75, 0.34)
    pen.polygon(
        (
            (side * half * 0.62, 0.12),
            (side * half * 0.8, 0.1),
            (side * half, 0.41),
            (side * nose, 0.72),
            (side * nose * 0.7, 0.72),
        ),
        shade(toy.main, 0.66),
        detail=True,
    )
    pen.polygon(
        ((side * nose, 0.72), (side * nose * 0.7, 0.72), (0, 1.0), (side * nose * 0.62, 0.88)),
        shade(toy.second, 0.72),
        detail=True,
    )
    pen.oval(0, 0.6, 0.09, 0.09, shade(toy.accent, 0.8), detail=True)
    pen.oval(0, 0.6, 0.062, 0.062, (176.0, 220.0, 246.0), detail=True)
    pen.limb((0, 0.26), (0, 0.02), 0.06, 0.05, shade(toy.second, 0.84))


def _draw_teapot(pen: Pen, toy: Toy) -> None:
    stout = 0.3 + 0.04 * toy.build
    pen.oval(-0.42, 0.44, 0.19, 0.23, shade(toy.second, 0.84))
    pen.oval(-0.42, 0.44, 0.1, 0.14, shade(toy.main, 0.4), detail=True)
    pen.limb((0.22, 0.3), (0.46, 0.5), 0.2, 0.11, shade(toy.main, 0.86))
    pen.limb((0.46, 0.5), (0.53, 0.68), 0.11, 0.1, shade(toy.main, 0.86))
    pen.box(-0.22, 0.0, 0.22, 0.1, shade(toy.second, 0.72))
    pen.ball(0, 0.4, 0.38, stout, toy.main, 0.32)
    _mark(pen, toy, 0, 0.38, 0.62, 0.4)
    pen.oval(0, 0.66, 0.25, 0.085, toy.second)
    pen.oval(0, 0.7, 0.19, 0.07, shade(toy.second, 1.2))
    pen.ball(0, 0.82, 0.075, 0.075, toy.second, 0.25)


def _draw_backpack(pen: Pen, toy: Toy) -> None:
    half = 0.27 + 0.05 * toy.build
    side = _shadow_side(pen)
    pen.oval(0, 0.9, 0.13, 0.1, toy.second)
    pen.oval(0, 0.89, 0.07, 0.055, shade(toy.second, 0.4), detail=True)
    for sign in (-1, 1):
        pen.limb((sign * half, 0.68), (sign * (half + 0.06), 0.2), 0.1, 0.12, toy.second)
    shape = (
        (-half, 0.04),
        (half, 0.04),
        (half, 0.68),
        (half * 0.72, 0.86),
        (-half * 0.72, 0.86),
        (-half, 0.68),
    )
    pen.polygon(shape, toy.main)
    pen.polygon(
        ((side * half, 0.04), (side * half, 0.68), (side * half * 0.72, 0.86), (side * half * 0.66, 0.04)),
        shade(toy.main, 0.72),
        True,
    )
    pen.box(-half, 0.0, half, 0.08, shade(toy.second, 0.8))
    _mark(pen, toy, 0, 0.66, half * 1.5, 0.26)
    pen.box(-half * 0.7, 0.12, half * 0.7, 0.44, shade(toy.second, 1.1), detail=True)
    pen.box(-half * 0.7, 0.38, half * 0.7, 0.44, toy.accent, detail=True)
    pen.box(-0.035, 0.28, 0.035, 0.42, shade(toy.accent, 0.8), detail=True)


def _draw_monster(pen: Pen, toy: Toy) -> None:
    stout = 0.29 + 0.07 * toy.build
    for sign in (-1, 1):
        pen.polygon(((sign * 0.06, 0.76), (sign * 0.24, 0.72), (sign * 0.28, 1.0)), toy.second)
        pen.limb(
            (sign * stout * 0.9, 0.5),
            (sign * (stout + 0.14), 0.62 if sign > 0 else 0.34),
            0.12,
            0.09,
            shade(toy.main, 0.84),
        )
        pen.oval(sign * 0.16, 0.05, 0.13, 0.06, toy.second)
    pen.ball(0, 0.44, stout, 0.4, toy.main, 0.3)
    _mark(pen, toy, 0, 0.24, stout * 1.3, 0.26)
    eyes = ((0.0, 0.12),) if toy.build > 0.75 else ((-0.12, 0.085), (0.12, 0.085))
    for x, radius in eyes:
        pen.oval(x, 0.62, radius, radius, (252.0, 250.0, 244.0), detail=True)
        pen.oval(x + 0.015, 0.61, radius * 0.5, radius * 0.5, DARK, detail=True)
    pen.polygon(((-0.17, 0.44), (0.17, 0.44), (0.11, 0.35), (-0.11, 0.35)), (86.0, 28.0, 44.0), detail=True)
    for x in (-0.09, 0.07):
        pen.polygon(((x - 0.04, 0.44), (x + 0.04, 0.44), (x, 0.385)), (250.0, 250.0, 246.0), detail=True)


_DRAWERS: dict[str, Callable[[Pen, Toy], None]] = {
    "robot": _draw_robot,
    "duck": _draw_duck,
    "rocket": _draw_rocket,
    "teapot": _draw_teapot,
    "backpack": _draw_backpack,
    "monster": _draw_monster,
}
