"""What the miniature world's renderers return, and the canvas they draw on.

Coordinates are in units of the picture's width: x from 0 to 1, y from 0 (top) to height / width. Pictures are
drawn at a multiple of their size and averaged down, so edges are soft and no detail is finer than the pixel
grid. Draws from the random generator never depend on the size: the same generator state gives the same scene
at any resolution. Filtering is done on bytes, where OpenCV is exact on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
Points = NDArray[np.float64] | Sequence[tuple[float, float]]

_SHIFT_BITS = 4
# Eighths of bytes are exact in float32, whatever the order of the sums.
_SOFTNESS = np.array([0.125, 0.75, 0.125], np.float32)
_CIRCLE = np.stack(
    [
        np.cos(np.linspace(0, 2 * math.pi, 20, endpoint=False)),
        np.sin(np.linspace(0, 2 * math.pi, 20, endpoint=False)),
    ],
    axis=1,
)


@dataclass(frozen=True)
class Rendered:
    """One picture of the miniature world.

    Attributes:
        image: uint8 [height, width, 3], RGB.
        labels: uint8 [height, width], class or part ids, 0 = other.
        captions: five paraphrases, the first the plainest.
        names: the class words that the captions name.
        uv: uint8 [height, width, 2], U and V within each body part (figures only).
        landmarks: float64 [68, 2], x and y in pixels, whole numbers at the pixels' centres (faces only).
        depth: float32 [height, width], 0 at the horizon to 1 at the picture's foot (scenes, objects, toys).
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    captions: tuple[str, ...]
    names: tuple[str, ...]
    uv: NDArray[np.uint8] | None = None
    landmarks: NDArray[np.float64] | None = None
    depth: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Light:
    """The light of a picture: what colours are multiplied with, and its side (-1 left, 1 right)."""

    tint: Colour = (1.0, 1.0, 1.0)
    side: int = -1


@dataclass
class Segment:
    """One thing or ground.

    Attributes:
        label: its class id.
        word: what captions call it.
        colour: its colour word, '' for none.
        foot: height at which it stands on the ground, in units; None for what reaches to the horizon.
    """

    label: int
    word: str
    colour: str = ""
    foot: float | None = None


@dataclass
class Canvas:
    """Colours and segment ids at ``oversampling`` times the picture's size."""

    height_px: int
    width_px: int
    oversampling: int = 0
    # Where the ground meets the sky or the wall, in units: what is below is nearer the lower it is.
    horizon: float = 0.0
    colours: NDArray[np.uint8] = field(init=False)
    segment_ids: NDArray[np.uint8] = field(init=False)
    segments: list[Segment] = field(init=False)

    def __post_init__(self) -> None:
        if not self.oversampling:
            self.oversampling = 4 if self.width_px <= 128 else 2
        shape = (self.height_px * self.oversampling, self.width_px * self.oversampling)
        self.colours = np.zeros((*shape, 3), np.uint8)
        self.segment_ids = np.zeros(shape, np.uint8)
        self.segments = [Segment(0, "")]

    @property
    def unit(self) -> float:
        """Canvas pixels per unit."""
        return float(self.width_px * self.oversampling)

    @property
    def bottom(self) -> float:
        """The lower edge, in units."""
        return self.height_px / self.width_px

    def add_segment(self, label: int, word: str, colour: str = "", foot: float | None = None) -> int:
        """Register one thing or ground; return the id to draw its shapes with."""
        self.segments.append(Segment(label, word, colour, foot))
        return len(self.segments) - 1

    def polygon(self, points: Points, colour: Colour, segment_id: int | None) -> None:
        """Fill a polygon; with ``segment_id`` None it is a detail of whatever lies under it."""
        corners = np.rint((np.asarray(points) * self.unit - 0.5) * (1 << _SHIFT_BITS)).astype(np.int32)
        cv2.fillPoly(self.colours, [corners], clip_colour(colour), shift=_SHIFT_BITS)
        if segment_id is not None:
            cv2.fillPoly(self.segment_ids, [corners], [segment_id], shift=_SHIFT_BITS)

    def rows(
        self, top: float, bottom: float, top_colour: Colour, bottom_colour: Colour, segment_id: int
    ) -> None:
        """Fill the full width between two heights with a vertical gradient."""
        first, last = (round(min(max(edge, 0.0), self.bottom) * self.unit) for edge in (top, bottom))
        if last <= first:
            return
        weights = np.linspace(0, 1, last - first, dtype=np.float32)[:, None]
        gradient = (
            np.asarray(top_colour, np.float32) * (1 - weights)
            + np.asarray(bottom_colour, np.float32) * weights
        )
        self.colours[first:last] = np.clip(gradient + 0.5, 0, 255).astype(np.uint8)[:, None]
        self.segment_ids[first:last] = segment_id

    def darken(self, centre: tuple[float, float], radius_x: float, radius_y: float, factor: float) -> None:
        """Draw a soft shadow on the ground: an ellipse within which colours are multiplied by ``factor``."""
        height, width = self.segment_ids.shape
        x0, x1 = (int((centre[0] + sign * radius_x) * self.unit) for sign in (-1, 1))
        y0, y1 = (int((centre[1] + sign * radius_y) * self.unit) for sign in (-1, 1))
        x0, x1, y0, y1 = max(x0, 0), min(x1, width), max(y0, 0), min(y1, height)
        if x1 <= x0 or y1 <= y0:
            return
        across = (np.arange(x0, x1, dtype=np.float32) + 0.5) / np.float32(self.unit) - np.float32(centre[0])
        down = (np.arange(y0, y1, dtype=np.float32) + 0.5) / np.float32(self.unit) - np.float32(centre[1])
        distance = (across / np.float32(radius_x))[None] ** 2 + (down / np.float32(radius_y))[:, None] ** 2
        strength = 1 - np.float32(1 - factor) * np.clip(1.6 * (1 - distance), 0, 1)
        region = self.colours[y0:y1, x0:x1]
        region[:] = (region * strength[..., None]).astype(np.uint8)

    def image(self) -> NDArray[np.float32]:
        """Return the colours averaged down, softened as by a lens: float32 [height, width, 3], 0 to 255."""
        small = cv2.resize(self.colours, (self.width_px, self.height_px), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.sepFilter2D(small.astype(np.float32), -1, _SOFTNESS, _SOFTNESS), np.float32)

    def segment_map(self) -> NDArray[np.uint8]:
        """Return the segment id at each pixel's centre: uint8 [height, width]."""
        middle = self.oversampling // 2
        return self.segment_ids[middle :: self.oversampling, middle :: self.oversampling]

    def labels(self) -> NDArray[np.uint8]:
        """Return the class id at each pixel's centre: uint8 [height, width]."""
        table = np.array([segment.label for segment in self.segments], np.uint8)
        return table[self.segment_map()]

    def depth(self) -> NDArray[np.float32]:
        """Return how near each pixel's centre is: float32 [height, width], 0 at the horizon, 1 at the foot.

        The ground comes nearer linearly from the horizon down; a thing is all as near as the ground it
        stands on.
        """
        heights = (np.arange(self.height_px, dtype=np.float32) + np.float32(0.5)) / np.float32(self.width_px)
        feet = np.array([np.nan if each.foot is None else each.foot for each in self.segments], np.float32)
        standing = feet[self.segment_map()]
        foot = np.where(np.isnan(standing), heights[:, None], standing)
        horizon = np.float32(self.horizon)
        near = (foot - horizon) / (np.float32(self.bottom) - horizon)
        return np.asarray(np.clip(near, 0, 1), np.float32)


@dataclass
class Pen:
    """Draws one thing in its own coordinates: x from its middle, y up from its foot, 1 = ``size`` units."""

    canvas: Canvas
    foot: tuple[float, float]
    size: float
    light: Light
    segment_id: int | None
    squeeze: float = 1.0
    mirrored: bool = False
    tilt: float = 0.0

    def place(self, points: Points) -> NDArray[np.float64]:
        """Return own coordinates [n, 2] as canvas units [n, 2]."""
        own = np.asarray(points, np.float64) * (
            self.size * (-self.squeeze if self.mirrored else self.squeeze),
            -self.size,
        )
        if self.tilt:
            cosine, sine = math.cos(self.tilt), math.sin(self.tilt)
            own = own @ np.array([(cosine, sine), (-sine, cosine)])
        return own + self.foot

    def polygon(self, points: Points, colour: Colour, detail: bool = False) -> None:
        """Fill a polygon; a detail lies inside what was drawn before and needs no label of its own."""
        tint = self.light.tint
        lit = (colour[0] * tint[0], colour[1] * tint[1], colour[2] * tint[2])
        self.canvas.polygon(self.place(points), lit, None if detail else self.segment_id)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, detail: bool = False) -> None:
        """Draw an upright rectangle."""
        self.polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour, detail)

    def oval(
        self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour, detail: bool = False
    ) -> None:
        """Draw an ellipse with upright axes."""
        self.polygon(_CIRCLE * (radius_x, radius_y) + (x, y), colour, detail)

    def ball(
        self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour, depth: float = 0.3
    ) -> None:
        """Draw an ellipse shaded as a round body: darker away from the light."""
        side = self.light.side * (-1 if self.mirrored else 1)
        self.oval(x, y, radius_x, radius_y, shade(colour, 1 - depth))
        for step, share in ((1, 0.86), (2, 0.66), (3, 0.42)):
            offset = 1 - share - 0.02
            tone = 1 - depth + depth * 1.25 * step / 3
            self.oval(
                x + side * radius_x * offset * 0.7,
                y + radius_y * offset * 0.7,
                radius_x * share,
                radius_y * share,
                shade(colour, tone),
                detail=True,
            )

    def limb(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        start_width: float,
        end_width: float,
        colour: Colour,
        detail: bool = False,
    ) -> None:
        """Draw a tapered stroke with round ends."""
        direction = np.subtract(end, start)
        angle = math.atan2(direction[1], direction[0])
        turns = np.linspace(math.pi / 2, 3 * math.pi / 2, 7) + angle
        arc = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        outline = np.concatenate([arc * (start_width / 2) + start, -arc * (end_width / 2) + end])
        self.polygon(outline, colour, detail)


def clip_colour(colour: Colour) -> tuple[int, int, int]:
    """Return a colour as whole numbers from 0 to 255."""
    return (
        min(max(round(colour[0]), 0), 255),
        min(max(round(colour[1]), 0), 255),
        min(max(round(colour[2]), 0), 255),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """Return a colour made darker (factor below 1) or lighter (above 1: towards white)."""
    if factor <= 1:
        return (colour[0] * factor, colour[1] * factor, colour[2] * factor)
    return blend(colour, (255.0, 255.0, 255.0), min(factor - 1, 1.0))


def blend(first: Colour, second: Colour, weight: float) -> Colour:
    """Return the mixture of two colours, ``weight`` of the second."""
    keep = 1 - weight
    return (
        first[0] * keep + second[0] * weight,
        first[1] * keep + second[1] * weight,
        first[2] * keep + second[2] * weight,
    )


def finish_image(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round to uint8."""
    rounded: NDArray[np.uint8] = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    return rounded
