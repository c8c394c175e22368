"""Skies, grounds and surface texture, shared by the renderers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from miniature.world.rendered import Canvas, Colour, Light, blend, value_noise
from oft.conditions.ade20k_classes import CLASS_IDS

SKY_ROWS = 48

GROUNDS: dict[str, tuple[Colour, Colour]] = {
    # far and near colour
    "grass": ((126.0, 168.0, 86.0), (82.0, 138.0, 62.0)),
    "field": ((216.0, 190.0, 104.0), (194.0, 158.0, 72.0)),
    "sand": ((234.0, 216.0, 172.0), (220.0, 192.0, 138.0)),
    "snow": ((238.0, 242.0, 248.0), (222.0, 230.0, 242.0)),
    "sea": ((98.0, 160.0, 196.0), (38.0, 104.0, 158.0)),
    "water": ((124.0, 176.0, 188.0), (62.0, 132.0, 152.0)),
    "road": ((128.0, 128.0, 132.0), (100.0, 100.0, 106.0)),
}

# Strength of the three textures (soft patches, grain, flat waves) per class.
_TEXTURES: dict[str, tuple[float, float, float]] = {
    "grass": (0.06, 0.09, 0.0),
    "field": (0.03, 0.03, 0.09),
    "sand": (0.04, 0.03, 0.0),
    "sea": (0.02, 0.0, 0.12),
    "water": (0.03, 0.0, 0.10),
    "road": (0.04, 0.02, 0.0),
    "mountain": (0.08, 0.07, 0.0),
    "tree": (0.04, 0.10, 0.0),
    "house": (0.02, 0.0, 0.0),
    "building": (0.02, 0.0, 0.0),
    "wall": (0.02, 0.0, 0.0),
    "floor": (0.03, 0.0, 0.02),
    "table": (0.03, 0.0, 0.03),
}


def _texture_table() -> NDArray[np.float32]:
    table = np.zeros((256, 3), np.float32)
    for name, strengths in _TEXTURES.items():
        table[CLASS_IDS[name]] = strengths
    return table


_TEXTURE_TABLE = _texture_table()


@dataclass(frozen=True)
class Weather:
    """The sky's words and colours, and the light below it."""

    sky: str
    words: tuple[str, ...]
    top: Colour
    horizon: Colour
    cloud: Colour
    cloudiness: float
    light: Light


def random_weather(rng: np.random.Generator) -> Weather:
    """Return day, evening or an overcast sky, with light from either side."""
    side = int(rng.choice([-1, 1]))
    draw = rng.random()
    shift = float(rng.uniform(-1, 1))
    if draw < 0.5:
        cloudiness = float(rng.choice([0.0, 0.6]))
        words = ("blue", "clear blue") if cloudiness == 0 else ("cloudy blue", "blue")
        top = (78.0 + 12 * shift, 142.0 + 10 * shift, 216.0 + 6 * shift)
        light = Light((1.0, 1.0, 0.98), side)
        return Weather("blue", words, top, (184.0, 216.0, 238.0), (250.0, 250.0, 252.0), cloudiness, light)
    if draw < 0.78:
        cloudiness = float(rng.choice([0.0, 0.45]))
        top = (110.0 + 16 * shift, 84.0, 130.0 - 14 * shift)
        light = Light((0.96, 0.82, 0.74), side)
        words = ("orange evening", "evening")
        return Weather("evening", words, top, (250.0, 168.0, 92.0), (252.0, 148.0, 110.0), cloudiness, light)
    top = (156.0 + 10 * shift, 162.0 + 10 * shift, 172.0 + 10 * shift)
    light = Light((0.84, 0.86, 0.9), side)
    return Weather(
        "grey", ("grey", "cloudy grey"), top, (206.0, 210.0, 214.0), (126.0, 132.0, 142.0), 0.7, light
    )


def paint_sky(canvas: Canvas, rng: np.random.Generator, weather: Weather, horizon: float) -> int:
    """Paint the sky to just below the horizon, with clouds, a sun or a moon; return its segment id."""
    segment_id = canvas.add_segment(CLASS_IDS["sky"], "sky")
    height, width = canvas.segment_ids.shape
    last = min(round((horizon + 0.04) * canvas.unit), height)
    columns = SKY_ROWS
    down = np.linspace(0, 1, SKY_ROWS, dtype=np.float32)[:, None, None]
    down = down * (np.float32(0.8) + np.float32(0.2) * down)
    sky = np.asarray(weather.top, np.float32) * (1 - down) + np.asarray(weather.horizon, np.float32) * down
    sky = np.repeat(sky, columns, axis=1)
    clouds = np.zeros((SKY_ROWS, columns), np.uint8)
    for _ in range(int(rng.integers(2, 5))):
        x, y = float(rng.uniform(0, columns)), float(rng.uniform(0.08, 0.7) * SKY_ROWS)
        reach, thickness = float(rng.uniform(5, 10)), float(rng.uniform(2.2, 4.0))
        for offset in (-0.8, 0.0, 0.7):
            centre = (round(x + offset * reach), round(y + (0 if offset else -thickness * 0.6)))
            cv2.ellipse(clouds, centre, (round(reach * 0.8), round(thickness)), 0, 0, 360, [255], -1)
    if weather.cloudiness:
        cover = cv2.GaussianBlur(clouds, (9, 9), 1.4)[..., None] * np.float32(weather.cloudiness / 255)
        sky = sky * (1 - cover) + np.asarray(weather.cloud, np.float32) * cover
    canvas.colours[:last] = cv2.resize(
        np.clip(sky, 0, 255).astype(np.uint8), (width, last), interpolation=cv2.INTER_LINEAR_EXACT
    )
    canvas.segment_ids[:last] = segment_id
    shows_sun = rng.random() < 0.55 and weather.sky != "grey"
    x = 0.5 + weather.light.side * float(rng.uniform(0.15, 0.42))
    y = horizon * float(rng.uniform(0.2, 0.5) if weather.sky == "blue" else rng.uniform(0.5, 0.9))
    if shows_sun:
        radius = 0.055 if weather.sky == "blue" else 0.075
        core = (255.0, 244.0, 190.0) if weather.sky == "blue" else (255.0, 216.0, 130.0)
        for share, weight in ((1.5, 0.35), (1.0, 1.0)):
            turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            ring = np.stack([np.cos(turns), np.sin(turns)], axis=1) * radius * share + (x, y)
            canvas.polygon(ring, blend(weather.horizon, core, weight), segment_id)
    return segment_id


def paint_ground(
    canvas: Canvas, name: str, top: float, bottom: float, light: Light, label: str | None = None
) -> int:
    """Paint a ground over the full width between two heights; return its segment id."""
    segment_id = canvas.add_segment(CLASS_IDS.get(label or name, 0), label or name)
    far, near = (tint_colour(colour, light) for colour in GROUNDS[name])
    canvas.rows(top, bottom, far, near, segment_id)
    return segment_id


def tint_colour(colour: Colour, light: Light) -> Colour:
    """Return a colour under the light."""
    return (colour[0] * light.tint[0], colour[1] * light.tint[1], colour[2] * light.tint[2])


def add_texture(
    image: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator, light: Light
) -> NDArray[np.float32]:
    """Return the image with each class's low-contrast texture, and light that falls off to one side."""
    height, width = labels.shape
    rows = max(round(18 * height / width), 2)
    fields = (
        value_noise(rng, 5, 5, height, width),
        value_noise(rng, rows, 18, height, width),
        value_noise(rng, rows + 6, 5, height, width),
    )
    strengths = _TEXTURE_TABLE[labels]
    factor = 1 + strengths[..., 0] * fields[0] + strengths[..., 1] * fields[1] + strengths[..., 2] * fields[2]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None] * np.float32(0.045 * light.side)
    return np.asarray(image * (factor * (1 + across))[..., None], dtype=np.float32)
