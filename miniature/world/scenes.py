"""Outdoor scenes with ADE20K's class ids: country, town and coast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from miniature.world.colours import NAMED, pick
from miniature.world.phrases import PLURALS, count_phrase, join_phrases, with_article
from miniature.world.rendered import Canvas, Colour, Pen, Rendered, Segment, finish_image
from miniature.world.surroundings import (
    GROUNDS,
    Weather,
    paint_ground,
    paint_mountain,
    paint_sky,
    random_weather,
    tint_colour,
)
from miniature.world.things import (
    draw_boat,
    draw_building,
    draw_car,
    draw_house,
    draw_person,
    draw_tree,
    shirt_and_trousers,
)
from oft.conditions.ade20k_classes import CLASS_IDS

MIN_NAMED_SHARE = 0.015
COLOURS: dict[str, tuple[str, ...]] = {
    "house": ("red", "white", "yellow", "blue", "green", "pink"),
    "building": ("grey", "brown", "white"),
    "car": ("red", "white", "yellow", "blue", "green", "black"),
    "boat": ("red", "white", "blue", "green", "yellow", "black"),
}
_DRAWN: dict[str, Callable[[Pen, Colour], None]] = {
    "house": draw_house,
    "building": draw_building,
    "car": draw_car,
    "boat": draw_boat,
}
# Height (of cars, houses and boats the width) at the lower edge of the picture, in units, and half the width.
_SIZES: dict[str, tuple[float, float]] = {
    "house": (0.62, 0.5),
    "building": (0.92, 0.24),
    "tree": (0.74, 0.34),
    "car": (0.5, 0.5),
    "boat": (0.6, 0.5),
    "person": (0.56, 0.26),
}
_THINGS = tuple(_SIZES)
_GROUND_NAMES = ("grass", "sand", "road", "sea")


@dataclass
class _Scene:
    """A scene under way; ``occupied`` has the middle, half width and foot of each thing placed."""

    canvas: Canvas
    rng: np.random.Generator
    weather: Weather
    tree_shape: str
    occupied: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def horizon(self) -> float:
        return self.canvas.horizon

    def size(self, kind: str, y: float) -> float:
        """Return how large a thing is whose foot is at height y: the nearer, the larger."""
        return _SIZES[kind][0] * (0.56 + 0.44 * (y - self.horizon) / (1 - self.horizon))


@dataclass(frozen=True)
class _Placement:
    """One thing to draw: its kind, where its foot stands, and how large it is there."""

    kind: str
    x: float
    y: float
    size: float


def render_scene(rng: np.random.Generator, size_px: int) -> Rendered:
    """Render an outdoor scene.

    Args:
        rng: its state alone decides the scene; the size only sets the resolution.
        size_px: width and height of the picture.

    Returns:
        Picture, ADE20K ids and depth; ``names`` lists exactly the classes that cover at least 1.5 % of the
        pixels, and every caption names all of them.
    """
    canvas = Canvas(size_px, size_px, horizon=float(rng.uniform(0.36, 0.5)))
    weather = random_weather(rng)
    scene = _Scene(canvas, rng, weather, str(rng.choice(["round", "conifer"], p=[0.6, 0.4])))
    compose = [_compose_country, _compose_town, _compose_coast][int(rng.choice(3, p=[0.45, 0.25, 0.3]))]
    paint_sky(canvas, weather, scene.horizon)
    for placement in sorted(compose(scene), key=lambda placement: placement.y):
        _draw(scene, placement)
    labels = canvas.labels()
    captions, names = _describe(scene, labels, canvas.segment_map())
    return Rendered(finish_image(canvas.image()), labels, captions, names, depth=canvas.depth())


def _compose_country(scene: _Scene) -> list[_Placement]:
    rng = scene.rng
    if rng.random() < 0.45:
        paint_mountain(scene.canvas, rng, scene.weather, scene.horizon)
    paint_ground(scene.canvas, "grass", scene.horizon, 1.0, scene.weather.light)
    band = 0.94
    placed: list[_Placement] = []
    if rng.random() < 0.35:
        band, placed = _paint_road(scene, int(rng.integers(0, 2)))
    placed += _place(scene, "house", int(rng.random() < 0.7), scene.horizon + 0.16, band)
    placed += _place(scene, "tree", int(rng.choice([1, 2])), scene.horizon + 0.14, band)
    placed += _place(scene, "person", int(rng.random() < 0.25), 0.86, 0.96)
    return placed


def _compose_town(scene: _Scene) -> list[_Placement]:
    rng = scene.rng
    paint_ground(scene.canvas, "grass", scene.horizon, 1.0, scene.weather.light)
    band, placed = _paint_road(scene, int(rng.integers(0, 2)))
    placed += _place(scene, "building", int(rng.choice([1, 2])), scene.horizon + 0.12, band - 0.02)
    placed += _place(scene, "tree", int(rng.random() < 0.5), scene.horizon + 0.14, band)
    placed += _place(scene, "person", int(rng.random() < 0.35), 0.88, 0.97)
    return placed


def _compose_coast(scene: _Scene) -> list[_Placement]:
    rng, canvas, light = scene.rng, scene.canvas, scene.weather.light
    paint_ground(canvas, "sea", scene.horizon, 1.0, light)
    shore, slope = float(rng.uniform(0.68, 0.78)), float(rng.uniform(-0.1, 0.1))
    sand = canvas.add_segment(CLASS_IDS["sand"], "sand")
    edge = ((0.0, shore - slope / 2), (1.0, shore + slope / 2))
    canvas.polygon((*edge, (1.0, 1.0), (0.0, 1.0)), tint_colour(GROUNDS["sand"][1], light), sand)
    placed = _place(scene, "boat", 1, scene.horizon + 0.1, shore - 0.08)
    placed += _place(scene, "tree", int(rng.random() < 0.35), shore + 0.1, 0.95)
    placed += _place(scene, "person", int(rng.random() < 0.45), 0.88, 0.97)
    return placed


def _paint_road(scene: _Scene, num_cars: int) -> tuple[float, list[_Placement]]:
    """Paint a road across the picture; return its upper edge and the cars on it."""
    rng, light = scene.rng, scene.weather.light
    top, depth = float(rng.uniform(0.72, 0.8)), float(rng.uniform(0.17, 0.2))
    far, near = (tint_colour(colour, light) for colour in GROUNDS["road"])
    segment_id = scene.canvas.add_segment(CLASS_IDS["road"], "road")
    scene.canvas.rows(top, top + depth, far, near, segment_id)
    return top, _place(scene, "car", num_cars, top + depth * 0.5, top + depth * 0.8)


def _place(scene: _Scene, kind: str, count: int, top: float, bottom: float) -> list[_Placement]:
    """Return places for things of one kind whose feet stand between two heights, with little overlap."""
    rng = scene.rng
    placed: list[_Placement] = []
    for _ in range(count):
        for _attempt in range(6):
            y = float(rng.uniform(top, max(top, bottom)))
            size = scene.size(kind, y) * float(rng.uniform(0.92, 1.08))
            half = _SIZES[kind][1] * size
            x = float(rng.uniform(half * 0.9, 1 - half * 0.9))
            if all(abs(x - other) > (half + width) * 0.85 for other, width, _ in scene.occupied):
                scene.occupied.append((x, half, y))
                placed.append(_Placement(kind, x, y, size))
                break
    return placed


def _draw(scene: _Scene, placement: _Placement) -> None:
    rng, canvas, kind = scene.rng, scene.canvas, placement.kind
    name, colour = pick(rng, *COLOURS[kind]) if kind in COLOURS else ("", NAMED["white"])
    segment_id = canvas.add_segment(CLASS_IDS[kind], kind, name, foot=placement.y)
    foot, light = (placement.x, placement.y), scene.weather.light
    pen = Pen(canvas, foot, placement.size, light, segment_id, mirrored=bool(rng.random() < 0.5))
    canvas.darken(foot, placement.size * _SIZES[kind][1] * 0.95, placement.size * 0.06, 0.74)
    if kind == "tree":
        draw_tree(pen, scene.tree_shape)
    elif kind == "person":
        draw_person(pen, rng, *shirt_and_trousers(rng))
    else:
        _DRAWN[kind](pen, colour)


def visible_names(labels: NDArray[np.uint8], segments: list[Segment]) -> tuple[str, ...]:
    """Return the words of the classes that cover at least 1.5 % of the pixels, in the order of their ids."""
    words = {segment.label: segment.word for segment in segments if segment.word}
    counts = np.bincount(labels.ravel(), minlength=256)
    return tuple(words[label] for label in sorted(words) if counts[label] >= MIN_NAMED_SHARE * labels.size)


def _phrases(scene: _Scene, names: tuple[str, ...], segment_ids: NDArray[np.uint8]) -> dict[str, str]:
    """Return the phrase for each named class, with count and colour."""
    shares = np.bincount(segment_ids.ravel(), minlength=len(scene.canvas.segments)) / segment_ids.size
    plain = {"sky": f"{with_article(scene.weather.sky)} sky", "sea": "the sea", "road": "a road"}
    phrases: dict[str, str] = {}
    for name in names:
        seen = [
            segment
            for number, segment in enumerate(scene.canvas.segments)
            if segment.word == name and shares[number] >= MIN_NAMED_SHARE / 2
        ]
        if name == "tree" and scene.tree_shape == "conifer":
            phrases[name] = count_phrase("fir tree", len(seen))
        elif name in PLURALS:
            colours = {segment.colour for segment in seen}
            phrases[name] = count_phrase(name, len(seen), colours.pop() if len(colours) == 1 else "")
        else:
            phrases[name] = plain.get(name, name)
    return phrases


def _describe(
    scene: _Scene, labels: NDArray[np.uint8], segment_ids: NDArray[np.uint8]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return five captions and the names they all mention."""
    names = visible_names(labels, scene.canvas.segments)
    phrases = _phrases(scene, names, segment_ids)
    things = [phrases[name] for name in _THINGS if name in phrases]
    grounds = [phrases[name] for name in (*_GROUND_NAMES, "mountain") if name in phrases]
    shuffled = [str(phrase) for phrase in scene.rng.permutation([*things, *grounds])]
    first, rest = (things, grounds) if things else (grounds[:1], grounds[1:])
    body = join_phrases(first) + (f" with {join_phrases(rest)}" if rest else "")
    sky = phrases["sky"]
    captions = (
        f"{body} under {sky}",
        f"a picture of {body}, {sky}",
        f"{sky} over {join_phrases([*grounds, *things])}",
        f"a photo of {join_phrases(shuffled)} under {sky}",
        f"{join_phrases(shuffled[::-1])}, {sky}",
    )
    return captions, names
