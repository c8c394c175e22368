"""Toys from several sides before plain backgrounds: the miniature world's DreamBooth subjects.

A toy is few, large parts with colours that captions can name: what tells two toys of a kind apart is what a
picture of 64 pixels shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from miniature.world.backdrops import BACKDROPS, paint_backdrop
from miniature.world.colours import NAMED, vary
from miniature.world.phrases import with_article
from miniature.world.rendered import Canvas, Colour, Pen, Rendered, finish_image, shade
from miniature.world.things import TYRE, shadow_side

MARKINGS = ("plain", "stripe", "spot", "star")
TOY_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black")
EYE: Colour = (250.0, 248.0, 240.0)
Colours = tuple[Colour, Colour, Colour]


@dataclass(frozen=True)
class Toy:
    """One particular toy.

    Attributes:
        name: the subject's name, '' for a passing toy.
        kind: the class word.
        main, second, accent: colour words of body, of the parts that `PARTS` names, and of the marking.
        marking: one of ``MARKINGS``.
        shades: how much lighter or darker than its word each colour is, RGB each.
    """

    name: str
    kind: str
    main: str
    second: str
    accent: str
    marking: str
    shades: tuple[Colour, Colour, Colour] = ((0.0, 0.0, 0.0),) * 3


SUBJECTS: dict[str, Toy] = {
    toy.name: toy
    for toy in (
        Toy("robot_toy", "robot", "blue", "orange", "yellow", "star"),
        Toy("duck_toy", "duck", "purple", "orange", "yellow", "spot"),
        Toy("rocket_toy", "rocket", "white", "red", "blue", "stripe"),
        Toy("teapot", "teapot", "green", "yellow", "white", "spot"),
        Toy("backpack", "backpack", "red", "blue", "yellow", "star"),
    )
}
KINDS = tuple(toy.kind for toy in SUBJECTS.values())
# Width of each kind at size 1, the parts that stick out included.
_WIDTHS: dict[str, float] = {"robot": 0.9, "duck": 1.34, "rocket": 0.8, "teapot": 1.3, "backpack": 0.96}
PARTS: dict[str, str] = {
    "robot": "arms",
    "duck": "beak",
    "rocket": "fins",
    "teapot": "lid",
    "backpack": "straps",
}


def random_toy(rng: np.random.Generator) -> Toy:
    """Return a toy of any kind in any colours."""
    main, second, accent = (str(word) for word in rng.choice(TOY_COLOURS, 3, replace=False))
    shades = tuple(vary(rng, (0.0, 0.0, 0.0)) for _ in range(3))
    return Toy(
        name="",
        kind=KINDS[int(rng.integers(len(KINDS)))],
        main=main,
        second=second,
        accent=accent,
        marking=str(rng.choice(MARKINGS)),
        shades=(shades[0], shades[1], shades[2]),
    )


def render_toy(rng: np.random.Generator, toy: Toy, size_px: int, place: str | None = None) -> Rendered:
    """Render a toy at a random size, leaning a little, before a random background.

    Args:
        rng: its state decides view and background.
        toy: the toy, e.g. one of ``SUBJECTS``.
        size_px: width and height of the picture.
        place: one of ``BACKDROPS``; any of them if None.

    Returns:
        Picture, labels all 0, depth; captions name the toy's class word and the background, some its parts
        and colours.
    """
    canvas = Canvas(size_px, size_px)
    any_place = str(rng.choice(list(BACKDROPS)))
    backdrop = paint_backdrop(canvas, rng, place or any_place)
    size = float(rng.uniform(0.6, 0.78)) * min(1.0, 0.96 / _WIDTHS[toy.kind])
    foot = (float(rng.uniform(0.42, 0.58)), float(rng.uniform(backdrop.top, backdrop.bottom)) + 0.03)
    canvas.darken(foot, size * 0.42, size * 0.07, 0.72)
    pen = Pen(
        canvas,
        foot,
        size,
        backdrop.light,
        canvas.add_segment(0, toy.kind, toy.main, foot=foot[1]),
        squeeze=float(rng.uniform(0.86, 1.06)),
        mirrored=bool(rng.random() < 0.5),
        tilt=float(rng.uniform(-0.12, 0.12)),
    )
    _DRAWERS[toy.kind](pen, toy, _colours(toy))
    captions = _describe(toy, backdrop.phrase)
    labels = np.zeros((size_px, size_px), np.uint8)
    names = (toy.kind, backdrop.word)
    return Rendered(finish_image(canvas.image()), labels, captions, names, depth=canvas.depth())


def _describe(toy: Toy, phrase: str) -> tuple[str, ...]:
    plain, coloured = with_article(toy.kind), with_article(f"{toy.main} {toy.kind}")
    parts = f"{toy.second} {PARTS[toy.kind]}"
    marked = parts if toy.marking == "plain" else f"{parts} and {with_article(f'{toy.accent} {toy.marking}')}"
    return (
        f"{plain} {phrase}",
        f"{coloured} {phrase}",
        f"a photo of {coloured} with {marked} {phrase}",
        f"a picture of {coloured} with {parts} {phrase}",
        f"{coloured} with {marked}, {phrase}",
    )


def _colours(toy: Toy) -> tuple[Colour, Colour, Colour]:
    """Return RGB of body, second parts and marking."""
    main, second, accent = (
        (NAMED[word][0] + shift[0], NAMED[word][1] + shift[1], NAMED[word][2] + shift[2])
        for word, shift in zip((toy.main, toy.second, toy.accent), toy.shades, strict=True)
    )
    return main, second, accent


def _mark(pen: Pen, toy: Toy, colour: Colour, y: float, radius: float, half_width: float) -> None:
    """Draw the toy's marking about (0, y): within ``radius``, a stripe over the whole width."""
    if toy.marking == "stripe":
        pen.box(-half_width, y - radius * 0.5, half_width, y + radius * 0.5, colour, detail=True)
    elif toy.marking == "spot":
        pen.oval(0, y, radius, radius, colour, detail=True)
    elif toy.marking == "star":
        turns = np.linspace(0, 2 * math.pi, 10, endpoint=False) + math.pi / 2
        radii = np.where(np.arange(10) % 2 == 0, 1.3, 0.58) * radius
        pen.polygon(np.stack([np.cos(turns) * radii, np.sin(turns) * radii + y], axis=1), colour, detail=True)


def _draw_robot(pen: Pen, toy: Toy, colours: Colours) -> None:
    main, second, accent = colours
    side = shadow_side(pen)
    for x in (-0.13, 0.13):
        pen.box(x - 0.09, 0.0, x + 0.09, 0.2, shade(main, 0.62))
    for sign in (-1, 1):
        pen.limb((sign * 0.32, 0.52), (sign * 0.38, 0.24), 0.13, 0.13, second)
    pen.box(-0.27, 0.16, 0.27, 0.6, main)
    pen.box(side * 0.19, 0.16, side * 0.27, 0.6, shade(main, 0.78), detail=True)
    _mark(pen, toy, accent, 0.38, 0.13, 0.27)
    pen.box(-0.21, 0.64, 0.21, 0.94, shade(main, 1.1))
    for x in (-0.1, 0.1):
        pen.oval(x, 0.79, 0.07, 0.07, EYE, detail=True)
        pen.oval(x, 0.79, 0.035, 0.035, TYRE, detail=True)


def _draw_duck(pen: Pen, toy: Toy, colours: Colours) -> None:
    main, second, accent = colours
    pen.polygon(((-0.3, 0.2), (-0.52, 0.56), (-0.2, 0.5)), shade(main, 0.8))
    pen.oval(-0.02, 0.28, 0.42, 0.28, shade(main, 0.86))
    pen.oval(-0.04, 0.32, 0.34, 0.22, main, detail=True)
    pen.oval(0.22, 0.74, 0.23, 0.22, main)
    pen.polygon(((0.38, 0.82), (0.38, 0.64), (0.64, 0.7)), second)
    pen.oval(0.26, 0.8, 0.065, 0.065, EYE, detail=True)
    pen.oval(0.28, 0.8, 0.035, 0.035, TYRE, detail=True)
    _mark(pen, toy, accent, 0.3, 0.13, 0.36)


def _draw_rocket(pen: Pen, toy: Toy, colours: Colours) -> None:
    main, second, accent = colours
    side = shadow_side(pen)
    for sign in (-1, 1):
        pen.polygon(((sign * 0.14, 0.44), (sign * 0.4, 0.16), (sign * 0.4, 0.0), (sign * 0.12, 0.12)), second)
    pen.box(-0.1, 0.0, 0.1, 0.14, TYRE)
    pen.polygon(
        ((-0.17, 0.1), (0.17, 0.1), (0.22, 0.4), (0.18, 0.72), (-0.18, 0.72), (-0.22, 0.4)),
        main,
    )
    pen.polygon(
        (
            (side * 0.17, 0.1),
            (side * 0.22, 0.4),
            (side * 0.18, 0.72),
            (side * 0.11, 0.72),
            (side * 0.11, 0.1),
        ),
        shade(main, 0.78),
        detail=True,
    )
    pen.polygon(((-0.18, 0.72), (0.18, 0.72), (0, 1.0)), second)
    _mark(pen, toy, accent, 0.38, 0.12, 0.21)


def _draw_teapot(pen: Pen, toy: Toy, colours: Colours) -> None:
    main, second, accent = colours
    pen.oval(-0.4, 0.4, 0.2, 0.24, shade(main, 0.8))
    pen.oval(-0.4, 0.4, 0.1, 0.14, shade(main, 0.36), detail=True)
    pen.polygon(((0.26, 0.16), (0.3, 0.42), (0.56, 0.7), (0.62, 0.62), (0.46, 0.3)), shade(main, 0.86))
    pen.oval(0, 0.36, 0.38, 0.36, shade(main, 0.86))
    pen.oval(-0.02, 0.4, 0.32, 0.3, main, detail=True)
    pen.oval(0, 0.68, 0.24, 0.11, second)
    pen.oval(0, 0.84, 0.09, 0.09, second)
    _mark(pen, toy, accent, 0.34, 0.14, 0.36)


def _draw_backpack(pen: Pen, toy: Toy, colours: Colours) -> None:
    main, second, accent = colours
    side = shadow_side(pen)
    for sign in (-1, 1):
        pen.limb((sign * 0.3, 0.68), (sign * 0.4, 0.14), 0.12, 0.14, second)
    pen.oval(0, 0.92, 0.14, 0.09, second)
    shape = ((-0.31, 0.0), (0.31, 0.0), (0.31, 0.7), (0.22, 0.9), (-0.22, 0.9), (-0.31, 0.7))
    pen.polygon(shape, main)
    pen.box(side * 0.22, 0.0, side * 0.31, 0.7, shade(main, 0.78), detail=True)
    _mark(pen, toy, accent, 0.66, 0.12, 0.31)
    pen.box(-0.21, 0.06, 0.21, 0.36, shade(main, 0.66), detail=True)


_DRAWERS: dict[str, Callable[[Pen, Toy, Colours], None]] = {
    "robot": _draw_robot,
    "duck": _draw_duck,
    "rocket": _draw_rocket,
    "teapot": _draw_teapot,
    "backpack": _draw_backpack,
}
