"""Plain backgrounds for close views of things and toys, each with the words that captions use for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from miniature.world.colours import pick, vary
from miniature.world.phrases import with_article
from miniature.world.rendered import Canvas, Colour, Light, blend, shade
from miniature.world.surroundings import (
    paint_ground,
    paint_mountain,
    paint_sky,
    random_weather,
    tint_colour,
)
from oft.conditions.ade20k_classes import CLASS_IDS

WALL_COLOURS = ("red", "pink", "purple", "blue", "green", "yellow")
TABLE_COLOURS = ("white", "red", "green", "blue", "brown")
FLOOR: Colour = (150.0, 142.0, 136.0)
PLASTER: Colour = (212.0, 204.0, 188.0)


@dataclass(frozen=True)
class Backdrop:
    """A painted background.

    Attributes:
        phrase: where a thing is, e.g. 'on the grass'.
        word: the background's own word, e.g. 'grass'.
        light: the light on things before it.
        top, bottom: heights between which a thing's foot may stand.
    """

    phrase: str
    word: str
    light: Light
    top: float = 0.82
    bottom: float = 0.93


def paint_backdrop(canvas: Canvas, rng: np.random.Generator, name: str) -> Backdrop:
    """Paint one of ``BACKDROPS`` over the whole canvas."""
    return BACKDROPS[name](canvas, rng)


def _outdoors(
    canvas: Canvas, rng: np.random.Generator, ground: str, phrase: str, label: str | None = None
) -> Backdrop:
    """Paint a ground under a sky by day: the evening has a backdrop of its own."""
    weather = random_weather(rng, ("blue", "grey"))
    canvas.horizon = float(rng.uniform(0.36, 0.54))
    paint_sky(canvas, weather, canvas.horizon)
    paint_ground(canvas, ground, canvas.horizon, 1.0, weather.light, label)
    return Backdrop(phrase, label or ground, weather.light)


def _evening(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = random_weather(rng, ("orange",))
    canvas.horizon = float(rng.uniform(0.54, 0.68))
    paint_sky(canvas, weather, canvas.horizon)
    paint_ground(canvas, "grass", canvas.horizon, 1.0, weather.light)
    return Backdrop("under an orange sky", "sky", weather.light)


def _mountain(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = random_weather(rng, ("blue", "grey"))
    canvas.horizon = float(rng.uniform(0.5, 0.58))
    paint_sky(canvas, weather, canvas.horizon)
    paint_mountain(canvas, rng, weather, canvas.horizon)
    paint_ground(canvas, "grass", canvas.horizon, 1.0, weather.light)
    return Backdrop("with a mountain in the background", "mountain", weather.light)


def _sea(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = random_weather(rng, ("blue", "grey"))
    canvas.horizon = float(rng.uniform(0.28, 0.4))
    paint_sky(canvas, weather, canvas.horizon)
    shore = float(rng.uniform(0.62, 0.7))
    paint_ground(canvas, "sea", canvas.horizon, shore, weather.light)
    paint_ground(canvas, "sand", shore, 1.0, weather.light)
    return Backdrop("with the sea in the background", "sea", weather.light)


def _lamp_light(rng: np.random.Generator) -> Light:
    level = float(rng.uniform(0.9, 1.04))
    return Light((level, level * 0.98, level * 0.95), int(rng.choice([-1, 1])))


def _table(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    light = _lamp_light(rng)
    canvas.horizon = float(rng.uniform(0.54, 0.66))
    _paint_wall(canvas, PLASTER, light)
    name, colour = pick(rng, *TABLE_COLOURS)
    segment_id = canvas.add_segment(CLASS_IDS["table"], "table", name)
    colour = tint_colour(blend(colour, (200.0, 200.0, 200.0), 0.1), light)
    canvas.rows(canvas.horizon, 1.0, shade(colour, 0.9), shade(colour, 1.06), segment_id)
    return Backdrop(f"on {with_article(f'{name} table')}", "table", light)


def _wall(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    light = _lamp_light(rng)
    canvas.horizon = float(rng.uniform(0.66, 0.74))
    name, colour = pick(rng, *WALL_COLOURS)
    _paint_wall(canvas, blend(colour, (255.0, 255.0, 255.0), 0.12), light, name)
    segment_id = canvas.add_segment(CLASS_IDS["floor"], "floor")
    floor = tint_colour(vary(rng, FLOOR), light)
    canvas.rows(canvas.horizon, 1.0, shade(floor, 0.9), shade(floor, 1.06), segment_id)
    return Backdrop(f"in front of {with_article(f'{name} wall')}", "wall", light, 0.85, 0.94)


def _paint_wall(canvas: Canvas, colour: Colour, light: Light, name: str = "") -> None:
    segment_id = canvas.add_segment(CLASS_IDS["wall"], "wall", name)
    colour = tint_colour(colour, light)
    canvas.rows(0.0, canvas.horizon, shade(colour, 1.04), shade(colour, 0.92), segment_id)


BACKDROPS: dict[str, Callable[[Canvas, np.random.Generator], Backdrop]] = {
    "grass": partial(_outdoors, ground="grass", phrase="on the grass"),
    "snow": partial(_outdoors, ground="snow", phrase="in the snow"),
    "sand": partial(_outdoors, ground="sand", phrase="on the sand"),
    "road": partial(_outdoors, ground="road", phrase="on the road"),
    "water": partial(_outdoors, ground="sea", phrase="on the water", label="water"),
    "evening": _evening,
    "mountain": _mountain,
    "sea": _sea,
    "table": _table,
    "wall": _wall,
}
