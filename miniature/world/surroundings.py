"""Skies and grounds, shared by the renderers: plain areas, a little lighter or darker from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from miniature.world.rendered import Canvas, Colour, Light
from oft.conditions.ade20k_classes import CLASS_IDS

GROUNDS: dict[str, tuple[Colour, Colour]] = {
    # far and near colour
    "grass": ((126.0, 172.0, 86.0), (84.0, 142.0, 62.0)),
    "sand": ((236.0, 216.0, 170.0), (222.0, 194.0, 138.0)),
    "snow": ((240.0, 244.0, 250.0), (222.0, 230.0, 242.0)),
    "sea": ((88.0, 156.0, 196.0), (36.0, 102.0, 160.0)),
    "road": ((126.0, 126.0, 130.0), (100.0, 100.0, 106.0)),
}


@dataclass(frozen=True)
class Weather:
    """The sky's word, its colours at the top and at the horizon, and the light below it."""

    sky: str
    top: Colour
    horizon: Colour
    light: Light


def random_weather(rng: np.random.Generator, skies: tuple[str, ...] = ("blue", "orange", "grey")) -> Weather:
    """Return a blue, an orange (evening) or a grey sky, lit from either side; blue is the most frequent."""
    weights = np.array([{"blue": 0.5, "orange": 0.28, "grey": 0.22}[sky] for sky in skies])
    sky = str(rng.choice(skies, p=weights / weights.sum()))
    side = int(rng.choice([-1, 1]))
    shift = float(rng.uniform(-8, 8))
    if sky == "blue":
        top = (84.0 + shift, 146.0 + shift, 218.0)
        return Weather(sky, top, (184.0, 216.0, 238.0), Light((1.0, 1.0, 0.98), side))
    if sky == "orange":
        top = (226.0 + shift, 112.0 + shift, 70.0)
        return Weather(sky, top, (252.0, 188.0, 106.0), Light((0.96, 0.84, 0.76), side))
    top = (152.0 + shift, 158.0 + shift, 168.0 + shift)
    return Weather(sky, top, (204.0, 208.0, 212.0), Light((0.86, 0.88, 0.92), side))


def paint_sky(canvas: Canvas, weather: Weather, horizon: float) -> None:
    """Paint the sky down to the horizon."""
    segment_id = canvas.add_segment(CLASS_IDS["sky"], "sky", weather.sky)
    canvas.rows(0.0, horizon, weather.top, weather.horizon, segment_id)


def paint_ground(
    canvas: Canvas, name: str, top: float, bottom: float, light: Light, label: str | None = None
) -> None:
    """Paint one of ``GROUNDS`` over the full width between two heights; ``label`` is another class for it."""
    segment_id = canvas.add_segment(CLASS_IDS.get(label or name, 0), label or name)
    far, near = (tint_colour(colour, light) for colour in GROUNDS[name])
    canvas.rows(top, bottom, far, near, segment_id)


def paint_mountain(canvas: Canvas, rng: np.random.Generator, weather: Weather, horizon: float) -> None:
    """Paint a mountain with a white top on the horizon, one side in the shade."""
    segment_id = canvas.add_segment(CLASS_IDS["mountain"], "mountain")
    rock = tint_colour((128.0, 124.0, 140.0), weather.light)
    snow = tint_colour((244.0, 246.0, 250.0), weather.light)
    x, height = float(rng.uniform(0.25, 0.75)), min(float(rng.uniform(0.26, 0.36)), horizon - 0.06)
    half = height * float(rng.uniform(1.2, 1.6))
    top, foot = (x, horizon - height), horizon
    canvas.polygon((top, (x - half, foot), (x + half, foot)), rock, segment_id)
    shaded = (rock[0] * 0.76, rock[1] * 0.76, rock[2] * 0.76)
    side = -weather.light.side
    canvas.polygon((top, (x + side * half, foot), (x + side * half * 0.15, foot)), shaded, segment_id)
    cap = 0.36
    rim = ((x - half * cap, foot - height * (1 - cap)), (x + half * cap, foot - height * (1 - cap)))
    canvas.polygon((top, *rim), snow, segment_id)


def tint_colour(colour: Colour, light: Light) -> Colour:
    """Return a colour under the light."""
    return (colour[0] * light.tint[0], colour[1] * light.tint[1], colour[2] * light.tint[2])
