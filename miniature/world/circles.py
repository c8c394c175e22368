"""Filled circles on plain backgrounds, each with its outline: the miniature world's fill50k."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from miniature.world.colours import NAMED, vary
from miniature.world.phrases import with_article
from miniature.world.rendered import Canvas, Rendered, finish_image

# Distance of RGB values from which on two named colours can be told apart at a glance.
_MIN_CONTRAST = 90.0
_TURNS = np.linspace(0, 2 * math.pi, 64, endpoint=False)


@dataclass(frozen=True)
class Circle:
    """A circle: middle and radius in units of the picture's width, and the names of two colours."""

    x: float
    y: float
    radius: float
    colour: str
    background: str


def random_circle(rng: np.random.Generator) -> Circle:
    """Return any circle that lies within the picture, of two colours that can be told apart."""
    colour = str(rng.choice(list(NAMED)))
    others = [name for name in NAMED if math.dist(NAMED[name], NAMED[colour]) > _MIN_CONTRAST]
    radius = float(rng.uniform(0.12, 0.36))
    x, y = (float(value) for value in rng.uniform(radius + 0.03, 0.97 - radius, 2))
    return Circle(x, y, radius, colour, str(rng.choice(others)))


def render_circle(rng: np.random.Generator, size_px: int) -> Rendered:
    """Render a filled circle.

    Args:
        rng: its state alone decides circle and colours.
        size_px: width and height of the picture.

    Returns:
        Picture, labels (1 = the circle, 0 = the background) and captions in the manner of fill50k.
    """
    return draw_circle(random_circle(rng), rng, size_px)


def draw_circle(circle: Circle, rng: np.random.Generator, size_px: int) -> Rendered:
    """Draw the given circle; see `render_circle`."""
    canvas = Canvas(size_px, size_px)
    background, colour = (vary(rng, NAMED[name], 6) for name in (circle.background, circle.colour))
    canvas.rows(0, canvas.bottom, background, background, 0)
    rim = np.stack([np.cos(_TURNS), np.sin(_TURNS)], axis=1) * circle.radius + (circle.x, circle.y)
    canvas.polygon(rim, colour, canvas.add_segment(1, "circle", circle.colour))
    captions, names = describe_circle(circle)
    return Rendered(finish_image(canvas.image()), canvas.labels(), captions, names)


def draw_outline(circle: Circle, size_px: int) -> NDArray[np.uint8]:
    """Return the condition: a white outline on black as fill50k's, uint8 [size, size, 3]."""
    outline = np.zeros((size_px, size_px, 3), np.uint8)
    middle = tuple(math.floor(value * size_px) for value in (circle.x, circle.y))
    cv2.circle(outline, middle, round(circle.radius * size_px), (255, 255, 255), max(size_px // 64, 1))
    return outline


def describe_circle(circle: Circle) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return five captions, the first that of fill50k, and the class words they name."""
    circle_phrase = with_article(f"{circle.colour} circle")
    background = with_article(f"{circle.background} background")
    captions = (
        f"{circle.colour} circle with {circle.background} background",
        f"{circle_phrase} on {background}",
        f"a picture of {circle_phrase} with {background}",
        f"one {circle.colour} circle in front of {background}",
        f"{background} with {circle_phrase}",
    )
    return captions, ("circle",)
