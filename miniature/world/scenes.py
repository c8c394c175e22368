"""Outdoor scenes with ADE20K's class ids: country, town, coast and lake.

One file: the four share their ground, sky and plants, and the order of their random draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from miniature.world.colours import NAMED, pick, vary
from miniature.world.phrases import PLURALS, count_phrase, join_phrases, with_article
from miniature.world.rendered import (
    Canvas,
    Colour,
    Light,
    Pen,
    Rendered,
    Segment,
    blend,
    finish_image,
    shade,
)
from miniature.world.surroundings import (
    GROUNDS,
    Weather,
    add_texture,
    paint_ground,
    paint_sky,
    random_weather,
    tint_colour,
)
from miniature.world.things import (
    draw_boat,
    draw_building,
    draw_car,
    draw_car_end,
    draw_fence,
    draw_house,
    draw_person,
    draw_tree,
)
from oft.conditions.ade20k_classes import CLASS_IDS

MIN_NAMED_SHARE = 0.015
MIN_CLASSES, MAX_CLASSES = 3, 7
_MIN_COUNTED_SHARE = 0.006
HOUSE_COLOURS = ("red", "white", "yellow", "blue", "green", "orange", "pink")
CAR_COLOURS = ("red", "white", "yellow", "blue", "green", "black", "orange")
BOAT_COLOURS = ("red", "white", "blue", "green", "yellow", "orange")
BUILDING_COLOURS: dict[str, Colour] = {
    "grey": (164.0, 166.0, 172.0),
    "brown": (166.0, 112.0, 84.0),
    "white": (222.0, 218.0, 208.0),
}
# Height (width for cars and boats) of a thing at the lower edge, as a share of the picture's width.
_SIZES: dict[str, float] = {
    "house": 0.5,
    "building": 0.8,
    "tree": 0.62,
    "car": 0.44,
    "boat": 0.44,
    "person": 0.48,
    "fence": 0.17,
}
_HALF_WIDTHS: dict[str, float] = {
    "house": 0.52,
    "building": 0.36,
    "tree": 0.36,
    "car": 0.5,
    "boat": 0.5,
    "person": 0.24,
}


@dataclass
class _Scene:
    canvas: Canvas
    rng: np.random.Generator
    weather: Weather
    horizon: float
    tree_shape: str
    occupied: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def light(self) -> Light:
        return self.weather.light

    def scale(self, y: float) -> float:
        """Return how large things are whose foot is at height y: 1 at the lower edge."""
        return 0.46 + 0.54 * (y - self.horizon) / (1 - self.horizon)


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
        Picture and ADE20K ids; ``names`` lists exactly the classes that cover at least 1.5 % of the
        pixels, and every caption names all of them.
    """
    canvas = Canvas(size_px, size_px)
    weather = random_weather(rng)
    kind = str(rng.choice(["country", "town", "coast", "lake"], p=[0.42, 0.22, 0.2, 0.16]))
    horizon = float(rng.uniform(0.32, 0.56))
    tree_shape = str(rng.choice(["round", "conifer"], p=[0.65, 0.35]))
    if kind == "coast":
        tree_shape = "palm"
    scene = _Scene(canvas, rng, weather, horizon, tree_shape)
    paint_sky(canvas, rng, weather, horizon)
    {"country": _compose_country, "town": _compose_town, "coast": _compose_coast, "lake": _compose_lake}[
        kind
    ](scene)
    labels = canvas.labels()
    image = finish_image(add_texture(canvas.image(), labels, rng, weather.light))
    captions, names = _describe(scene, labels, canvas.segment_map())
    return Rendered(image, labels, captions, names)


def _compose_country(scene: _Scene) -> None:
    rng = scene.rng
    if rng.random() < 0.5:
        _paint_mountains(scene)
    far = str(rng.choice(["grass", "field"], p=[0.65, 0.35]))
    paint_ground(scene.canvas, far, scene.horizon, 1.0, scene.light)
    if far == "grass" and rng.random() < 0.3:
        _paint_patch(scene, "field", scene.horizon, float(rng.uniform(0.08, 0.16)))
    elif far == "field" and rng.random() < 0.5:
        _paint_patch(scene, "grass", float(rng.uniform(0.74, 0.84)), 0.4)
    road = str(rng.choice(["none", "along", "across"], p=[0.3, 0.35, 0.35]))
    placed: list[_Placement] = []
    band = 1.0
    if road == "along":
        placed += _road_along(scene)
    elif road == "across":
        band, cars = _road_across(scene)
        placed += cars
    elif rng.random() < 0.35:
        _paint_pond(scene)
    placed += _place(
        scene, "house", int(rng.choice(3, p=[0.25, 0.5, 0.25])), scene.horizon + 0.08, min(band, 0.86)
    )
    placed += _place(scene, "tree", int(rng.integers(0, 5)), scene.horizon + 0.05, min(band, 0.97))
    if rng.random() < 0.3:
        placed.append(_place_fence(scene, min(band - 0.01, float(rng.uniform(0.78, 0.95)))))
    if rng.random() < 0.25:
        placed += _place(scene, "person", 1, 0.82, 0.97)
    _draw_all(scene, placed)


def _compose_town(scene: _Scene) -> None:
    rng = scene.rng
    scene.horizon = min(scene.horizon, 0.48)
    if rng.random() < 0.2:
        _paint_mountains(scene)
    paint_ground(scene.canvas, "grass", scene.horizon, 1.0, scene.light)
    placed: list[_Placement] = []
    if rng.random() < 0.75:
        band, cars = _road_across(scene)
        placed += cars
    else:
        band = 0.8
        placed += _road_along(scene)
    placed += _place(
        scene, "building", int(rng.integers(1, 4)), scene.horizon + 0.1, min(band, scene.horizon + 0.3)
    )
    placed += _place(scene, "house", int(rng.choice(2, p=[0.6, 0.4])), scene.horizon + 0.14, band)
    placed += _place(scene, "tree", int(rng.integers(0, 4)), scene.horizon + 0.14, band)
    if rng.random() < 0.35:
        placed += _place(scene, "person", 1, 0.82, 0.97)
    _draw_all(scene, placed)


def _compose_coast(scene: _Scene) -> None:
    rng = scene.rng
    if rng.random() < 0.3:
        _paint_mountains(scene)
    paint_ground(scene.canvas, "sea", scene.horizon, 1.0, scene.light)
    shore = scene.horizon + float(rng.uniform(0.16, 0.34))
    slope = float(rng.uniform(-0.16, 0.16))
    sand = scene.canvas.add_segment(CLASS_IDS["sand"], "sand")
    xs = np.linspace(0, 1, 9)
    edge = (
        shore + slope * (xs - 0.5) + 0.02 * np.sin(xs * float(rng.uniform(5, 10)) + float(rng.uniform(0, 6)))
    )
    foam = tint_colour((236.0, 240.0, 236.0), scene.light)
    wet = tint_colour(GROUNDS["sand"][0], scene.light)
    dry = tint_colour(GROUNDS["sand"][1], scene.light)
    corners = [(1.0, 1.0), (0.0, 1.0)]
    scene.canvas.polygon([*zip(xs, edge - 0.022, strict=True), *corners], foam, None)
    scene.canvas.polygon([*zip(xs, edge, strict=True), *corners], wet, sand)
    scene.canvas.polygon([*zip(xs, edge + 0.16, strict=True), *corners], blend(wet, dry, 0.55), sand)
    placed = _place(scene, "boat", int(rng.choice(3, p=[0.2, 0.5, 0.3])), scene.horizon + 0.05, shore - 0.1)
    land = shore + abs(slope) / 2 + 0.1
    placed += _place(scene, "house", int(rng.choice(2, p=[0.7, 0.3])), land, max(land, 0.88))
    placed += _place(scene, "tree", int(rng.integers(0, 3)), land, 0.97)
    if rng.random() < 0.45:
        placed += _place(scene, "person", 1, max(land, 0.82), 0.97)
    _draw_all(scene, placed)


def _compose_lake(scene: _Scene) -> None:
    rng = scene.rng
    if rng.random() < 0.75:
        _paint_mountains(scene)
    paint_ground(scene.canvas, "grass", scene.horizon, 1.0, scene.light)
    top = scene.horizon + float(rng.uniform(0.04, 0.12))
    bottom = top + float(rng.uniform(0.22, 0.32))
    _paint_patch(scene, "water", top, bottom - top)
    placed = _place(scene, "boat", int(rng.choice(3, p=[0.3, 0.55, 0.15])), top + 0.1, bottom - 0.06)
    placed += _place(scene, "tree", int(rng.integers(1, 4)), bottom + 0.06, 0.97)
    placed += _place(scene, "house", int(rng.choice(2, p=[0.6, 0.4])), bottom + 0.06, max(bottom + 0.08, 0.9))
    if rng.random() < 0.3:
        placed.append(_place_fence(scene, float(rng.uniform(0.9, 0.96))))
    if rng.random() < 0.25:
        placed += _place(scene, "person", 1, max(bottom + 0.06, 0.84), 0.97)
    _draw_all(scene, placed)


def _paint_mountains(scene: _Scene) -> None:
    rng = scene.rng
    segment_id = scene.canvas.add_segment(CLASS_IDS["mountain"], "mountain")
    green = rng.random() < 0.35
    rock = vary(rng, (104.0, 132.0, 110.0) if green else (126.0, 122.0, 136.0))
    rock = tint_colour(blend(rock, scene.weather.horizon, 0.2), scene.light)
    snowy = not green and rng.random() < 0.7
    peaks = int(rng.integers(1, 4))
    base = scene.horizon + 0.03
    centres = np.sort(rng.uniform(0.05, 0.95, peaks))
    order = rng.permutation(peaks)
    heights = rng.uniform(0.15, 0.3, peaks)
    for index in order:
        x, height = float(centres[index]), float(heights[index])
        half = height * float(rng.uniform(1.1, 1.7))
        top = (x, base - height)
        left, right = (x - half, base), (x + half, base)
        fold = x + scene.light.side * -half * 0.25
        scene.canvas.polygon((left, top, right), shade(rock, 1.06), segment_id)
        dark = right if scene.light.side < 0 else left
        scene.canvas.polygon((top, dark, (fold, base)), shade(rock, 0.74), segment_id)
        if snowy:
            share = 0.34
            rim = [(x - half * share, base - height * (1 - share)), (x - half * 0.1, base - height * 0.74)]
            rim += [(x + half * 0.06, base - height * 0.62), (x + half * share, base - height * (1 - share))]
            snow = tint_colour((244.0, 246.0, 250.0), scene.light)
            scene.canvas.polygon([top, *rim], snow, segment_id)
            side = rim[3] if scene.light.side < 0 else rim[0]
            inner = rim[2] if scene.light.side < 0 else rim[1]
            scene.canvas.polygon((top, side, inner), shade(snow, 0.84), segment_id)


def _paint_patch(scene: _Scene, name: str, top: float, depth: float) -> None:
    """Paint a ground with wavy edges over the full width."""
    rng = scene.rng
    segment_id = scene.canvas.add_segment(CLASS_IDS[name], name)
    xs = np.linspace(-0.02, 1.02, 9)
    waves = rng.uniform(3, 8, 2), rng.uniform(0, 6, 2)
    upper = top + 0.012 * np.sin(xs * waves[0][0] + waves[1][0])
    lower = np.minimum(top + depth + 0.02 * np.sin(xs * waves[0][1] + waves[1][1]), 1.05)
    far, near = (tint_colour(colour, scene.light) for colour in GROUNDS[name])
    steps = 4
    for step in range(steps):
        start = upper + (lower - upper) * step / steps
        points = [*zip(xs, start, strict=True), *zip(xs[::-1], lower[::-1], strict=True)]
        scene.canvas.polygon(points, blend(far, near, step / (steps - 1)), segment_id)


def _paint_pond(scene: _Scene) -> None:
    rng = scene.rng
    segment_id = scene.canvas.add_segment(CLASS_IDS["water"], "water")
    x, y = float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.78, 0.9))
    radius_x, radius_y = float(rng.uniform(0.24, 0.36)), float(rng.uniform(0.07, 0.1))
    turns = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    wobble = 1 + 0.08 * np.sin(turns * 3 + float(rng.uniform(0, 6)))
    ring = np.stack([np.cos(turns) * radius_x * wobble, np.sin(turns) * radius_y * wobble], axis=1)
    far, near = (tint_colour(colour, scene.light) for colour in GROUNDS["water"])
    scene.canvas.polygon(ring * 1.06 + (x, y), tint_colour((150.0, 132.0, 92.0), scene.light), None)
    scene.canvas.polygon(np.add(ring, (x, y)), blend(far, near, 0.35), segment_id)
    scene.canvas.polygon(ring * 0.7 + (x, y + radius_y * 0.15), blend(far, near, 0.7), segment_id)
    scene.occupied.append((x, radius_x, y))


def _road_along(scene: _Scene) -> list[_Placement]:
    """Paint a road that runs to the horizon; return the cars on it."""
    rng = scene.rng
    segment_id = scene.canvas.add_segment(CLASS_IDS["road"], "road")
    vanishing, foot = float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.3, 0.7))
    half, bend = float(rng.uniform(0.2, 0.28)), float(rng.uniform(-0.12, 0.12))
    t = np.linspace(0, 1, 9)
    y = scene.horizon + (1.02 - scene.horizon) * t
    middle = vanishing + (foot - vanishing) * t + bend * np.sin(np.pi * t) * (1 - t)
    width = 0.022 + (half - 0.022) * t
    far, near = (tint_colour(colour, scene.light) for colour in GROUNDS["road"])
    verge = tint_colour((196.0, 186.0, 150.0), scene.light)
    for extra, colour, mark in ((1.1, verge, None), (1.0, blend(far, near, 0.6), segment_id)):
        outline = [
            *zip(middle - width * extra, y, strict=True),
            *zip((middle + width * extra)[::-1], y[::-1], strict=True),
        ]
        scene.canvas.polygon(outline, colour, mark)
    paint = tint_colour((226.0, 222.0, 206.0), scene.light)
    for start, stop in ((0.3, 0.42), (0.52, 0.66), (0.78, 0.95)):
        ends = np.interp([start, stop], t, middle), np.interp([start, stop], t, y)
        (x0, x1), (y0, y1) = ends
        w0, w1 = 0.035 * start, 0.035 * stop
        scene.canvas.polygon(((x0 - w0, y0), (x0 + w0, y0), (x1 + w1, y1), (x1 - w1, y1)), paint, segment_id)
    scene.occupied.append((foot, half * 0.8, 0.9))
    if rng.random() < 0.6:
        place = float(rng.uniform(0.42, 0.85))
        x = float(np.interp(place, t, middle)) + float(np.interp(place, t, width)) * 0.42 * float(
            rng.choice([-1, 1])
        )
        return [_Placement("car end", x, float(np.interp(place, t, y)), max(half * place * 1.0, 0.19))]
    return []


def _road_across(scene: _Scene) -> tuple[float, list[_Placement]]:
    """Paint a road across the picture; return its upper edge and the cars on it."""
    rng = scene.rng
    segment_id = scene.canvas.add_segment(CLASS_IDS["road"], "road")
    top = float(rng.uniform(max(scene.horizon + 0.24, 0.66), 0.82))
    depth = float(rng.uniform(0.15, 0.22))
    far, near = (tint_colour(colour, scene.light) for colour in GROUNDS["road"])
    kerb = tint_colour((184.0, 180.0, 168.0), scene.light)
    scene.canvas.polygon(
        ((0, top - 0.018), (1, top - 0.018), (1, top + depth + 0.018), (0, top + depth + 0.018)),
        kerb,
        segment_id,
    )
    scene.canvas.polygon(
        ((0, top), (1, top), (1, top + depth), (0, top + depth)), blend(far, near, 0.6), segment_id
    )
    paint = tint_colour((226.0, 222.0, 206.0), scene.light)
    offset = float(rng.uniform(0, 0.25))
    middle = top + depth * 0.5
    for index in range(-1, 4):
        x = offset + index * 0.26
        scene.canvas.polygon(
            (
                (x, middle - 0.013),
                (x + 0.13, middle - 0.013),
                (x + 0.13, middle + 0.013),
                (x, middle + 0.013),
            ),
            paint,
            segment_id,
        )
    placed = []
    start = float(rng.uniform(0.05, 0.5))
    for index in range(int(rng.choice(3, p=[0.25, 0.5, 0.25]))):
        size = float(rng.uniform(0.3, 0.4))
        x = 0.14 + (start + 0.5 * index) % 1.0 * 0.72
        placed.append(_Placement("car", x, top + depth * float(rng.uniform(0.3, 0.9)), size))
    return top, placed


def _place(scene: _Scene, kind: str, count: int, top: float, bottom: float) -> list[_Placement]:
    """Return places for things of one kind whose feet stand between two heights, with little overlap."""
    rng = scene.rng
    placed = []
    for _ in range(count):
        for _attempt in range(6):
            y = float(rng.uniform(top, max(top, bottom)))
            size = _SIZES[kind] * scene.scale(y) * float(rng.uniform(0.88, 1.14))
            half = _HALF_WIDTHS[kind] * size
            x = float(rng.uniform(0.08, 0.92))
            if kind in ("house", "boat", "car", "building"):
                x = float(rng.uniform(min(half, 0.45) * 0.8, 1 - min(half, 0.45) * 0.8))
            near = (other for other in scene.occupied if abs(other[2] - y) < 0.3)
            if all(abs(x - other[0]) > (half + other[1]) * 0.85 for other in near):
                scene.occupied.append((x, half, y))
                placed.append(_Placement(kind, x, y, size))
                break
    return placed


def _place_fence(scene: _Scene, y: float) -> _Placement:
    return _Placement("fence", float(scene.rng.uniform(0.2, 0.8)), y, _SIZES["fence"] * scene.scale(y))


def _draw_all(scene: _Scene, placed: list[_Placement]) -> None:
    """Draw from far to near, after giving up kinds of things if there would be too many classes."""
    painted = {segment.word for segment in scene.canvas.segments if segment.word}
    if not placed and len(painted) < MIN_CLASSES:
        placed = _place(scene, "tree", 2, scene.horizon + 0.1, 0.95)
    for kind in ("fence", "person", "car end", "car", "tree", "boat"):
        if len(painted | {_word(placement.kind) for placement in placed}) <= MAX_CLASSES:
            break
        placed = [placement for placement in placed if placement.kind != kind]
    for placement in sorted(placed, key=lambda placement: placement.y):
        _draw(scene, placement)


def _word(kind: str) -> str:
    return "car" if kind == "car end" else kind


def _draw(scene: _Scene, placement: _Placement) -> None:
    rng, canvas = scene.rng, scene.canvas
    word = _word(placement.kind)
    colour_word, colour = "", NAMED["white"]
    if word == "house":
        colour_word, colour = pick(rng, *HOUSE_COLOURS)
    elif word == "car":
        colour_word, colour = pick(rng, *CAR_COLOURS)
    elif word == "boat":
        colour_word, colour = pick(rng, *BOAT_COLOURS)
    elif word == "building":
        colour_word = str(rng.choice(list(BUILDING_COLOURS)))
        colour = vary(rng, BUILDING_COLOURS[colour_word])
    segment_id = canvas.add_segment(CLASS_IDS[word], word, colour_word)
    mirrored = bool(rng.random() < 0.5)
    pen = Pen(canvas, (placement.x, placement.y), placement.size, scene.light, segment_id, mirrored=mirrored)
    shadow_x = placement.x - scene.light.side * placement.size * 0.1
    if word not in ("boat", "fence"):
        reach = {"tree": 0.3, "person": 0.22}.get(word, 0.55)
        canvas.darken((shadow_x, placement.y), placement.size * reach, placement.size * 0.07, 0.7)
    if word == "house":
        draw_house(pen, rng, colour)
    elif word == "building":
        draw_building(pen, rng, colour)
    elif word == "tree":
        draw_tree(pen, rng, scene.tree_shape)
    elif placement.kind == "car end":
        draw_car_end(pen, rng, colour)
    elif word == "car":
        draw_car(pen, rng, colour)
    elif word == "boat":
        canvas.darken((placement.x, placement.y), placement.size * 0.5, placement.size * 0.08, 0.75)
        draw_boat(pen, rng, colour)
    elif word == "person":
        draw_person(pen, rng, pick(rng, *CAR_COLOURS)[1], pick(rng, "blue", "black", "brown", "grey")[1])
    elif word == "fence":
        pen.mirrored = False
        fence = vary(rng, NAMED["white"] if rng.random() < 0.5 else (150.0, 112.0, 78.0))
        left, right = (-placement.x - 0.1) / placement.size, (1.1 - placement.x) / placement.size
        if rng.random() < 0.5:
            left, right = (-0.1 - placement.x) / placement.size, 0.2
        draw_fence(pen, left, right, fence)


def visible_names(labels: NDArray[np.uint8], segments: list[Segment]) -> tuple[str, ...]:
    """Return the words of the classes that cover at least 1.5 % of the pixels, in the order of their ids."""
    words = {segment.label: segment.word for segment in segments if segment.word}
    counts = np.bincount(labels.ravel(), minlength=256)
    return tuple(words[label] for label in sorted(words) if counts[label] >= MIN_NAMED_SHARE * labels.size)


def _phrases(scene: _Scene, names: tuple[str, ...], segment_ids: NDArray[np.uint8]) -> dict[str, str]:
    """Return the phrase for each named class, with count and colour."""
    shares = np.bincount(segment_ids.ravel(), minlength=len(scene.canvas.segments)) / segment_ids.size
    phrases: dict[str, str] = {}
    for name in names:
        seen = [
            (float(shares[number]), segment)
            for number, segment in enumerate(scene.canvas.segments)
            if segment.word == name and shares[number] > 0
        ]
        plain = {
            "sky": "the sky",
            "sea": "the sea",
            "road": "a road",
            "field": "a yellow field",
            "grass": "green grass",
        }
        if name in plain:
            phrases[name] = plain[name]
        elif name in PLURALS and name != "mountain":
            counted_ones = [segment for share, segment in seen if share >= _MIN_COUNTED_SHARE]
            counted_ones = counted_ones or [max(seen, key=lambda pair: pair[0])[1]]
            colours = {segment.colour for segment in counted_ones}
            count = 1 if name == "fence" else len(counted_ones)
            phrases[name] = count_phrase(name, count, colours.pop() if len(colours) == 1 else "")
        else:
            phrases[name] = with_article(name) if name == "mountain" else name
    return phrases


_THINGS = ("house", "building", "car", "boat", "tree", "person", "fence")
_GROUND_NAMES = ("grass", "field", "sand", "road", "sea", "water")


def _describe(
    scene: _Scene, labels: NDArray[np.uint8], segment_ids: NDArray[np.uint8]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return five captions and the names they all mention."""
    rng = scene.rng
    names = visible_names(labels, scene.canvas.segments)
    phrases = _phrases(scene, names, segment_ids)
    things = [phrases[name] for name in _THINGS if name in phrases]
    grounds = [phrases[name] for name in _GROUND_NAMES if name in phrases]
    if "mountain" in phrases:
        grounds.append(phrases["mountain"])
    words = scene.weather.words
    sky = [with_article(f"{word} sky") for word in words] if "sky" in names else ["daylight", "daylight"]
    shuffled = (
        [str(phrase) for phrase in rng.permutation([*things, *grounds])] if things or grounds else ["nothing"]
    )
    first = things or grounds[:1]
    rest = grounds if things else grounds[1:]
    body = join_phrases(first) + (f" with {join_phrases(rest)}" if rest else "")
    captions = (
        f"{body} under {sky[0]}",
        f"a picture of {body}, {sky[0]}",
        f"{sky[1]} over {join_phrases([*grounds, *things])}",
        f"a photo of {join_phrases(shuffled)} under {sky[0]}",
        f"{join_phrases(shuffled[::-1])}, {sky[1]}",
    )
    return captions, names
