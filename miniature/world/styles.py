"""The same pictures drawn in two manners, for styles to learn: captions do not name the manner."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from miniature.world.objects import render_object
from miniature.world.rendered import Rendered, finish_image
from miniature.world.scenes import render_scene

_SCENE_SHARE = 0.5
_PAPER = np.array([246.0, 238.0, 220.0], np.float32)
_INK = np.array([52.0, 40.0, 48.0], np.float32)
_NAVY = np.array([24.0, 52.0, 110.0], np.float32)
_CHALK = np.array([226.0, 240.0, 255.0], np.float32)


def render_in_style(style: str, rng: np.random.Generator, size_px: int) -> Rendered:
    """Render a scene or an object in one of ``STYLES``; the same state draws the same picture in each.

    Returns:
        The picture in its manner, with labels, captions and names of the plain one.
    """
    render = render_scene if rng.random() < _SCENE_SHARE else render_object
    plain = render(rng, size_px)
    image = STYLES[style](plain.image.astype(np.float32), _outlines(plain.image))
    return Rendered(finish_image(image), plain.labels, plain.captions, plain.names, depth=plain.depth)


def _draw_in_ink(image: NDArray[np.float32], outlines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pale washes of the colours on warm paper, with dark outlines."""
    washes = _PAPER + (image / 255 - 1) * np.float32(0.5) * _PAPER
    return np.asarray(washes + (_INK - washes) * outlines, np.float32)


def _draw_as_blueprint(image: NDArray[np.float32], outlines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the brightness in blues, with light outlines."""
    brightness = image @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    blues = _NAVY + (_CHALK - _NAVY) * (np.float32(0.45) * brightness[..., None])
    return np.asarray(blues + (_CHALK - blues) * outlines, np.float32)


def _outlines(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how much each pixel lies on an edge of colours: float32 [height, width, 1], 0 to 1."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    gradient = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, kernel).max(-1)
    return np.clip((gradient.astype(np.float32) - 24) / 72, 0, 1)[..., None]


STYLES: dict[str, Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]] = {
    "ink": _draw_in_ink,
    "blueprint": _draw_as_blueprint,
}
