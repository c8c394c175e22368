"""Simple backgrounds for close views of things and toys, each with the words that captions use for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from miniature.world.colours import NAMED, pick, vary
from miniature.world.phrases import with_article
from miniature.world.rendered import Canvas, Colour, Light, Pen, blend, shade
from miniature.world.surroundings import Weather, paint_ground, paint_sky, random_weather, tint_colour
from miniature.world.things import draw_building, draw_house, draw_tree
from oft.conditions.ade20k_classes import CLASS_IDS

RUG_COLOURS = ("red", "pink", "purple", "blue", "green", "yellow")
TABLE_COLOURS = ("white", "red", "green", "blue")
WOOD: Colour = (176.0, 124.0, 78.0)
WALLS: tuple[Colour, ...] = (
    (206.0, 198.0, 184.0),
    (186.0, 200.0, 206.0),
    (214.0, 190.0, 176.0),
    (188.0, 202.0, 178.0),
    (222.0, 212.0, 168.0),
)


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
    top: float = 0.8
    bottom: float = 0.92


def paint_backdrop(canvas: Canvas, rng: np.random.Generator, name: str) -> Backdrop:
    """Paint one of ``BACKDROPS`` over the whole canvas."""
    return BACKDROPS[name](canvas, rng)


def _fair_weather(rng: np.random.Generator, evening: bool = False) -> Weather:
    """Return weather of an evening or of any other time: one backdrop alone names the evening."""
    weather = random_weather(rng)
    while (weather.sky == "evening") != evening:
        weather = random_weather(rng)
    return weather


def _outdoors(
    canvas: Canvas, rng: np.random.Generator, ground: str, phrase: str, label: str | None = None
) -> Backdrop:
    weather = _fair_weather(rng)
    horizon = float(rng.uniform(0.3, 0.56))
    paint_sky(canvas, rng, weather, horizon)
    paint_ground(canvas, ground, horizon, 1.0, weather.light, label)
    return Backdrop(phrase, ground, weather.light)


def _grass(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    return _outdoors(canvas, rng, "grass", "on the grass")


def _field(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    return _outdoors(canvas, rng, "field", "in a yellow field")


def _snow(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    return _outdoors(canvas, rng, "snow", "in the snow", "snow")


def _sand(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    return _outdoors(canvas, rng, "sand", "on the sand")


def _road(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = _fair_weather(rng)
    horizon = float(rng.uniform(0.3, 0.5))
    paint_sky(canvas, rng, weather, horizon)
    paint_ground(canvas, "grass", horizon, horizon + 0.2, weather.light)
    segment_id = paint_ground(canvas, "road", horizon + 0.18, 1.0, weather.light)
    white = tint_colour((226.0, 222.0, 206.0), weather.light)
    y, offset = float(rng.uniform(0.86, 0.95)), float(rng.uniform(-0.2, 0.0))
    for index in range(4):
        x = offset + 0.36 * index
        canvas.polygon(
            ((x, y), (x + 0.2, y), (x + 0.18, y + 0.035), (x - 0.02, y + 0.035)), white, segment_id
        )
    return Backdrop("on the road", "road", weather.light)


def _water(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = _fair_weather(rng)
    horizon = float(rng.uniform(0.3, 0.5))
    paint_sky(canvas, rng, weather, horizon)
    paint_ground(canvas, "sea", horizon, 1.0, weather.light, "water")
    return Backdrop("on the water", "water", weather.light)


def _evening(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = _fair_weather(rng, evening=True)
    horizon = float(rng.uniform(0.55, 0.7))
    paint_sky(canvas, rng, weather, horizon)
    paint_ground(canvas, "grass", horizon, 1.0, weather.light)
    return Backdrop("under an orange evening sky", "sky", weather.light)


def _mountain(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = _fair_weather(rng)
    horizon = float(rng.uniform(0.5, 0.6))
    paint_sky(canvas, rng, weather, horizon)
    segment_id = canvas.add_segment(CLASS_IDS["mountain"], "mountain")
    rock = tint_colour(vary(rng, (124.0, 122.0, 138.0)), weather.light)
    snow = tint_colour((244.0, 246.0, 250.0), weather.light)
    for x in (float(rng.uniform(0.05, 0.4)), float(rng.uniform(0.55, 0.95))):
        height, half = float(rng.uniform(0.32, 0.44)), float(rng.uniform(0.34, 0.46))
        top, left, right = (x, horizon - height), (x - half, horizon), (x + half, horizon)
        canvas.polygon((top, left, right), rock, segment_id)
        dark = right if weather.light.side < 0 else left
        canvas.polygon((top, dark, (x + 0.06, horizon)), shade(rock, 0.74), segment_id)
        rim = (
            (x + half * 0.3, horizon - height * 0.7),
            (x, horizon - height * 0.62),
            (x - half * 0.3, horizon - height * 0.7),
        )
        canvas.polygon((top, *rim), snow, segment_id)
    paint_ground(canvas, "grass", horizon, 1.0, weather.light)
    return Backdrop("with a mountain in the background", "mountain", weather.light)


def _sea(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = _fair_weather(rng)
    horizon = float(rng.uniform(0.25, 0.4))
    paint_sky(canvas, rng, weather, horizon)
    paint_ground(canvas, "sea", horizon, 0.75, weather.light)
    paint_ground(canvas, "sand", float(rng.uniform(0.62, 0.7)), 1.0, weather.light)
    return Backdrop("with the sea in the background", "sea", weather.light)


def _tree(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = _fair_weather(rng)
    horizon = float(rng.uniform(0.5, 0.6))
    paint_sky(canvas, rng, weather, horizon)
    paint_ground(canvas, "grass", horizon, 1.0, weather.light)
    x = float(rng.choice([0.16, 0.84])) + float(rng.uniform(-0.05, 0.05))
    segment_id = canvas.add_segment(CLASS_IDS["tree"], "tree")
    draw_tree(
        Pen(canvas, (x, horizon + 0.12), float(rng.uniform(0.6, 0.7)), weather.light, segment_id),
        rng,
        "round",
    )
    return Backdrop("with a tree in the background", "tree", weather.light)


def _city(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = _fair_weather(rng)
    horizon = float(rng.uniform(0.56, 0.66))
    paint_sky(canvas, rng, weather, horizon)
    paint_ground(canvas, "road", horizon, 1.0, weather.light)
    offset = float(rng.uniform(0, 0.1))
    for index in range(4):
        segment_id = canvas.add_segment(CLASS_IDS["building"], "building")
        tone = vary(rng, ((164.0, 166.0, 172.0), (170.0, 130.0, 104.0))[index % 2], 14)
        foot = (0.05 + offset + 0.28 * index, horizon + 0.02)
        pen = Pen(canvas, foot, float(rng.uniform(0.36, 0.56)), weather.light, segment_id)
        draw_building(pen, rng, tone)
    return Backdrop("with a city in the background", "city", weather.light)


def _house(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    weather = _fair_weather(rng)
    horizon = float(rng.uniform(0.5, 0.58))
    paint_sky(canvas, rng, weather, horizon)
    paint_ground(canvas, "grass", horizon, 1.0, weather.light)
    name, colour = pick(rng, "red", "blue", "white", "yellow", "green")
    segment_id = canvas.add_segment(CLASS_IDS["house"], "house", name)
    foot = (float(rng.uniform(0.4, 0.6)), horizon + 0.14)
    pen = Pen(
        canvas,
        foot,
        float(rng.uniform(0.78, 0.92)),
        weather.light,
        segment_id,
        mirrored=bool(rng.random() < 0.5),
    )
    draw_house(pen, rng, colour)
    return Backdrop(f"in front of {with_article(name)} house", "house", weather.light, 0.84, 0.94)


def _lamp_light(rng: np.random.Generator) -> Light:
    level = float(rng.uniform(0.86, 1.04))
    warm = float(rng.uniform(0.9, 1.0))
    return Light((level, level * (0.5 + 0.5 * warm), level * warm), int(rng.choice([-1, 1])))


def _wall(canvas: Canvas, rng: np.random.Generator, bottom: float, light: Light) -> Colour:
    segment_id = canvas.add_segment(CLASS_IDS["wall"], "wall")
    colour = tint_colour(vary(rng, WALLS[int(rng.integers(len(WALLS)))]), light)
    canvas.rows(0.0, bottom, shade(colour, 1.05), shade(colour, 0.9), segment_id)
    return colour


def _table(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    light = _lamp_light(rng)
    edge = float(rng.uniform(0.54, 0.66))
    _wall(canvas, rng, edge + 0.05, light)
    segment_id = canvas.add_segment(CLASS_IDS["table"], "table")
    name, colour = ("", vary(rng, WOOD)) if rng.random() < 0.6 else pick(rng, *TABLE_COLOURS)
    colour = tint_colour(blend(colour, (200.0, 200.0, 200.0), 0.15 if name else 0.0), light)
    canvas.rows(edge, 1.0, shade(colour, 0.92), shade(colour, 1.08), segment_id)
    canvas.rows(edge, edge + 0.02, shade(colour, 1.25), shade(colour, 1.2), segment_id)
    return Backdrop(f"on {with_article(f'{name} table'.strip())}", "table", light)


def _planks(canvas: Canvas, rng: np.random.Generator, top: float, light: Light) -> None:
    segment_id = canvas.add_segment(CLASS_IDS["floor"], "floor")
    wood = tint_colour(vary(rng, (170.0, 122.0, 82.0)), light)
    canvas.rows(top, 1.0, shade(wood, 0.86), shade(wood, 1.06), segment_id)
    vanishing = float(rng.uniform(0.4, 0.6))
    for index in range(-4, 9, 2):
        near, half = index * 0.18, 0.1
        far0, far1 = (vanishing + (x - vanishing) * 0.45 for x in (near - half, near + half))
        canvas.polygon(
            ((far0, top), (far1, top), (near + half, 1.0), (near - half, 1.0)), shade(wood, 0.88), segment_id
        )


def _floor(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    light = _lamp_light(rng)
    edge = float(rng.uniform(0.36, 0.52))
    colour = _wall(canvas, rng, edge, light)
    _planks(canvas, rng, edge, light)
    canvas.polygon(((0, edge - 0.035), (1, edge - 0.035), (1, edge), (0, edge)), shade(colour, 1.35), None)
    return Backdrop("on a wooden floor", "floor", light)


def _rug(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    light = _lamp_light(rng)
    edge = float(rng.uniform(0.36, 0.5))
    _wall(canvas, rng, edge, light)
    _planks(canvas, rng, edge, light)
    segment_id = canvas.add_segment(CLASS_IDS["rug"], "rug")
    name, colour = pick(rng, *RUG_COLOURS)
    turns = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    ring = np.stack([np.cos(turns) * 0.46, np.sin(turns) * 0.155], axis=1)
    centre = (0.5, 0.83)
    canvas.polygon(ring + centre, tint_colour(shade(colour, 0.8), light), segment_id)
    canvas.polygon(ring * 0.88 + centre, tint_colour(colour, light), segment_id)
    return Backdrop(f"on {with_article(name)} rug", "rug", light, 0.8, 0.88)


def _room(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    light = _lamp_light(rng)
    edge = float(rng.uniform(0.64, 0.74))
    colour = _wall(canvas, rng, edge, light)
    segment_id = canvas.add_segment(CLASS_IDS["floor"], "floor")
    carpet = tint_colour(vary(rng, (150.0, 140.0, 136.0), 22), light)
    canvas.rows(edge, 1.0, shade(carpet, 0.9), shade(carpet, 1.05), segment_id)
    canvas.polygon(((0, edge - 0.03), (1, edge - 0.03), (1, edge), (0, edge)), shade(colour, 1.35), None)
    x = float(rng.choice([0.2, 0.8]))
    window = canvas.add_segment(CLASS_IDS["windowpane"], "window")
    frame, pane = tint_colour(NAMED["white"], light), (150.0, 200.0, 236.0)
    canvas.polygon(((x - 0.17, 0.08), (x + 0.17, 0.08), (x + 0.17, 0.5), (x - 0.17, 0.5)), frame, window)
    for x0, x1 in ((x - 0.14, x - 0.015), (x + 0.015, x + 0.14)):
        canvas.polygon(((x0, 0.11), (x1, 0.11), (x1, 0.47), (x0, 0.47)), pane, window)
    return Backdrop("in a room", "room", light, 0.86, 0.94)


def _bricks(canvas: Canvas, rng: np.random.Generator) -> Backdrop:
    light = _lamp_light(rng)
    edge = float(rng.uniform(0.68, 0.76))
    wall = canvas.add_segment(CLASS_IDS["wall"], "wall")
    mortar = tint_colour(vary(rng, (196.0, 170.0, 150.0)), light)
    brick = tint_colour(vary(rng, (170.0, 84.0, 64.0)), light)
    canvas.rows(0.0, edge, mortar, shade(mortar, 0.92), wall)
    tones = rng.uniform(0.88, 1.06, (8, 6))
    for row in range(8):
        y = row * 0.1
        for column in range(-1, 5):
            x = (column + 0.5 * (row % 2)) * 0.24
            bottom = min(y + 0.078, edge)
            if bottom > y:
                tone = shade(brick, float(tones[row, column]))
                canvas.polygon(((x, y), (x + 0.215, y), (x + 0.215, bottom), (x, bottom)), tone, None)
    floor = canvas.add_segment(CLASS_IDS["sidewalk"], "pavement")
    stone = tint_colour(vary(rng, (172.0, 170.0, 166.0)), light)
    canvas.rows(edge, 1.0, shade(stone, 0.88), stone, floor)
    return Backdrop("in front of a brick wall", "wall", light, 0.84, 0.93)


BACKDROPS: dict[str, Callable[[Canvas, np.random.Generator], Backdrop]] = {
    "grass": _grass,
    "field": _field,
    "snow": _snow,
    "sand": _sand,
    "road": _road,
    "water": _water,
    "evening": _evening,
    "mountain": _mountain,
    "sea": _sea,
    "tree": _tree,
    "city": _city,
    "house": _house,
    "table": _table,
    "floor": _floor,
    "rug": _rug,
    "room": _room,
    "bricks": _bricks,
}
