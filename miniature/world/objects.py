"""Close views of one to three things before a simple background: the miniature world's COCO."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from miniature.world.backdrops import paint_backdrop
from miniature.world.colours import NAMED, pick, vary
from miniature.world.phrases import count_phrase, join_phrases
from miniature.world.rendered import Canvas, Colour, Light, Pen, Rendered, finish_image
from miniature.world.surroundings import add_texture
from miniature.world.things import (
    draw_ball,
    draw_boat,
    draw_bottle,
    draw_car,
    draw_cup,
    draw_dog,
    draw_flower,
    draw_house,
    draw_person,
    draw_tree,
)
from oft.conditions.ade20k_classes import CLASS_IDS

_MIN_SEEN_SHARE = 0.015

_PLACES: dict[str, tuple[str, ...]] = {
    "car": ("road", "grass", "sand", "snow", "city"),
    "house": ("grass", "field", "snow", "mountain", "evening"),
    "tree": ("grass", "field", "snow", "mountain", "evening"),
    "boat": ("water",),
    "person": ("grass", "road", "sand", "snow", "bricks", "city", "sea", "evening"),
    "dog": ("grass", "floor", "sand", "snow", "rug", "room", "house"),
    "ball": ("grass", "floor", "sand", "room", "bricks", "rug", "table"),
    "cup": ("table", "table", "floor"),
    "bottle": ("table", "table", "floor", "sand"),
    "flower": ("grass", "field", "mountain", "bricks"),
}
_COLOURS: dict[str, tuple[str, ...]] = {
    "car": ("red", "white", "yellow", "blue", "green", "black", "orange"),
    "house": ("red", "white", "yellow", "blue", "green", "orange", "pink"),
    "boat": ("red", "white", "blue", "green", "yellow", "orange"),
    "dog": ("brown", "white", "black", "grey"),
    "ball": ("red", "yellow", "blue", "green", "orange", "purple", "pink"),
    "cup": ("red", "white", "yellow", "blue", "green", "pink", "purple"),
    "bottle": ("green", "blue", "brown", "red", "yellow"),
    "flower": ("red", "pink", "white", "purple", "orange", "blue"),
}
_LABELS: dict[str, str] = {"dog": "animal"}
# Size of a thing alone in the picture, and its width at size 1.
_SIZES: dict[str, tuple[float, float]] = {
    "car": (0.78, 1.0),
    "house": (0.78, 1.0),
    "tree": (0.78, 0.72),
    "boat": (0.68, 1.0),
    "person": (0.76, 0.55),
    "dog": (0.66, 1.1),
    "ball": (0.44, 1.0),
    "cup": (0.46, 1.05),
    "bottle": (0.66, 0.45),
    "flower": (0.7, 0.62),
}
_COMPANIONS: dict[str, tuple[str, ...]] = {
    "car": ("person", "tree", "car"),
    "house": ("tree", "car", "tree"),
    "tree": ("tree", "person", "dog", "house"),
    "boat": ("boat",),
    "person": ("dog", "ball", "person", "tree"),
    "dog": ("ball", "person", "dog"),
    "ball": ("ball", "dog"),
    "cup": ("cup", "bottle", "ball"),
    "bottle": ("cup", "bottle"),
    "flower": ("flower",),
}

_DRAWERS: dict[str, Callable[[Pen, np.random.Generator, Colour], None]] = {
    "car": draw_car,
    "house": draw_house,
    "boat": draw_boat,
    "dog": draw_dog,
    "ball": draw_ball,
    "cup": draw_cup,
    "bottle": draw_bottle,
    "flower": draw_flower,
}


def render_object(rng: np.random.Generator, size_px: int) -> Rendered:
    """Render one to three large things before a simple background.

    Args:
        rng: its state alone decides the picture.
        size_px: width and height of the picture.

    Returns:
        Picture and ADE20K ids (0 where ADE20K has no class); captions name the things and the background.
    """
    canvas = Canvas(size_px, size_px)
    kind = str(rng.choice(list(_PLACES)))
    place = str(rng.choice(_PLACES[kind]))
    backdrop = paint_backdrop(canvas, rng, place)
    first_thing = len(canvas.segments)
    count = int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))
    kinds = [kind, *(str(rng.choice(_COMPANIONS[kind])) for _ in range(count - 1))]
    widest = sum(_SIZES[one][0] * _SIZES[one][1] for one in kinds)
    zoom = float(rng.uniform(0.8, 1.0)) * min(1.0, 1.0 / widest)
    slots = rng.permutation(count)
    spare = 1.0 - widest * zoom
    left = spare * float(rng.uniform(0.2, 0.8))
    starts: dict[int, float] = {}
    for slot in slots:
        starts[int(slot)] = left
        left += _SIZES[kinds[slot]][0] * _SIZES[kinds[slot]][1] * zoom
    feet = np.sort(rng.uniform(backdrop.top, backdrop.bottom, count))
    for index, one in enumerate(kinds):
        size, width = _SIZES[one][0] * zoom, _SIZES[one][1]
        # Side by side things can keep more of their height than of their width.
        if width < 0.8 and count > 1:
            size = min(size * 1.25, 0.8)
        x = starts[index] + _SIZES[one][0] * zoom * width / 2
        _draw(canvas, rng, one, (x, float(feet[index])), size, backdrop.light)
    labels = canvas.labels()
    image = finish_image(add_texture(canvas.image(), labels, rng, backdrop.light))
    shares = np.bincount(canvas.segment_map().ravel(), minlength=len(canvas.segments)) / labels.size
    seen = [
        segment
        for number, segment in enumerate(canvas.segments)
        if number >= first_thing and shares[number] >= _MIN_SEEN_SHARE
    ]
    words = list(dict.fromkeys(segment.word for segment in seen))
    phrases, plain = [], []
    for word in words:
        same = [segment for segment in seen if segment.word == word]
        colours = {segment.colour for segment in same}
        phrases.append(count_phrase(word, len(same), colours.pop() if len(colours) == 1 else ""))
        plain.append(count_phrase(word, len(same)))
    body = join_phrases(phrases)
    captions = (
        f"{body} {backdrop.phrase}",
        f"a photo of {body} {backdrop.phrase}",
        f"{join_phrases(phrases[::-1])}, {backdrop.phrase}",
        f"a picture of {join_phrases(plain)} {backdrop.phrase}",
        f"{'there are' if len(seen) > 1 else 'there is'} {body} {backdrop.phrase}",
    )
    return Rendered(image, labels, captions, tuple(dict.fromkeys([*words, backdrop.word])))


def _draw(
    canvas: Canvas,
    rng: np.random.Generator,
    kind: str,
    foot: tuple[float, float],
    size: float,
    light: Light,
) -> None:
    name, colour = pick(rng, *_COLOURS[kind]) if kind in _COLOURS else ("", NAMED["white"])
    segment_id = canvas.add_segment(CLASS_IDS.get(_LABELS.get(kind, kind), 0), kind, name)
    canvas.darken(
        (foot[0] - light.side * size * 0.06, foot[1]), size * _SIZES[kind][1] * 0.52, size * 0.07, 0.68
    )
    pen = Pen(canvas, foot, size, light, segment_id, mirrored=bool(rng.random() < 0.5))
    if kind == "tree":
        draw_tree(pen, rng, str(rng.choice(["round", "conifer"])))
    elif kind == "person":
        shirt = pick(rng, "red", "yellow", "blue", "green", "white", "orange", "purple")[1]
        draw_person(pen, rng, shirt, vary(rng, NAMED[str(rng.choice(["blue", "black", "brown", "grey"]))]))
    else:
        _DRAWERS[kind](pen, rng, colour)
