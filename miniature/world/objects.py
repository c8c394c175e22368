"""Close views of one or two things before a plain background: the miniature world's COCO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from miniature.world.backdrops import Backdrop, paint_backdrop
from miniature.world.colours import pick
from miniature.world.phrases import count_phrase, join_phrases
from miniature.world.rendered import Canvas, Colour, Pen, Rendered, Segment, finish_image
from miniature.world.things import (
    draw_ball,
    draw_boat,
    draw_car,
    draw_cup,
    draw_dog,
    draw_flower,
    draw_house,
    draw_tree,
)
from oft.conditions.ade20k_classes import CLASS_IDS

_MIN_SEEN_SHARE = 0.015


@dataclass(frozen=True)
class _Kind:
    """A kind of thing.

    Attributes:
        size: of one alone, in units of the picture's width: what the pen's 1 is.
        width: at size 1.
        places: backdrops that it stands before.
        colours: colour words of its body; none for a tree.
        label: ADE20K's word for it.
    """

    draw: Callable[[Pen, Colour], None]
    size: float
    width: float
    places: tuple[str, ...]
    colours: tuple[str, ...] = ()
    label: str = ""


def _draw_round_tree(pen: Pen, colour: Colour) -> None:
    draw_tree(pen, "round")


def _draw_conifer(pen: Pen, colour: Colour) -> None:
    draw_tree(pen, "conifer")


OBJECT_KINDS: dict[str, _Kind] = {
    "car": _Kind(
        draw_car,
        0.8,
        1.0,
        ("road", "grass", "sand", "snow", "evening"),
        ("red", "white", "yellow", "blue", "green", "black"),
    ),
    "house": _Kind(
        draw_house,
        0.72,
        1.04,
        ("grass", "snow", "sand", "mountain", "evening"),
        ("red", "white", "yellow", "blue", "green", "pink"),
    ),
    "tree": _Kind(_draw_round_tree, 0.74, 0.7, ("grass", "snow", "mountain", "evening")),
    "fir tree": _Kind(_draw_conifer, 0.76, 0.66, ("grass", "snow", "mountain", "evening"), label="tree"),
    "boat": _Kind(draw_boat, 0.7, 1.0, ("water",), ("red", "white", "blue", "green", "yellow", "black")),
    "dog": _Kind(
        draw_dog,
        0.66,
        1.2,
        ("grass", "sand", "snow", "sea", "wall", "road"),
        ("brown", "white", "black", "grey"),
        label="animal",
    ),
    "ball": _Kind(
        draw_ball,
        0.5,
        1.0,
        ("grass", "sand", "sea", "wall", "table", "snow"),
        ("red", "yellow", "blue", "green", "orange", "purple"),
    ),
    "cup": _Kind(
        draw_cup, 0.52, 1.1, ("table", "wall"), ("red", "white", "yellow", "blue", "green", "purple")
    ),
    "flower": _Kind(
        draw_flower,
        0.74,
        0.76,
        ("grass", "mountain", "wall", "evening"),
        ("red", "pink", "white", "purple", "orange", "blue"),
    ),
}


def render_object(rng: np.random.Generator, size_px: int) -> Rendered:
    """Render one or two large things before a plain background.

    Args:
        rng: its state alone decides the picture.
        size_px: width and height of the picture.

    Returns:
        Picture, ADE20K ids (0 where ADE20K has no class) and depth; captions name the things with their
        colours, and the background.
    """
    canvas = Canvas(size_px, size_px)
    first = str(rng.choice(list(OBJECT_KINDS)))
    place = str(rng.choice(OBJECT_KINDS[first].places))
    backdrop = paint_backdrop(canvas, rng, place)
    first_thing = len(canvas.segments)
    words = [first]
    if rng.random() < 0.4:
        fitting = [word for word, kind in OBJECT_KINDS.items() if place in kind.places]
        words.append(first if rng.random() < 0.4 else str(rng.choice(fitting)))
    _draw_side_by_side(canvas, rng, [words[index] for index in rng.permutation(len(words))], backdrop)
    labels = canvas.labels()
    shares = np.bincount(canvas.segment_map().ravel(), minlength=len(canvas.segments)) / labels.size
    seen = [
        segment
        for number, segment in enumerate(canvas.segments)
        if number >= first_thing and shares[number] >= _MIN_SEEN_SHARE
    ]
    captions = _describe(seen, backdrop)
    names = tuple(dict.fromkeys([*(segment.word for segment in seen), backdrop.word]))
    return Rendered(finish_image(canvas.image()), labels, captions, names, depth=canvas.depth())


def _draw_side_by_side(
    canvas: Canvas, rng: np.random.Generator, words: list[str], backdrop: Backdrop
) -> None:
    """Draw things from left to right, as large as fits, the nearer one last."""
    widths = [OBJECT_KINDS[word].size * OBJECT_KINDS[word].width for word in words]
    zoom = min(float(rng.uniform(0.84, 1.0)), 0.96 / sum(widths))
    spare = 1.0 - sum(widths) * zoom
    left = spare * float(rng.uniform(0.25, 0.75))
    feet = rng.uniform(backdrop.top, backdrop.bottom, len(words))
    middles = left + zoom * (np.cumsum(widths) - np.asarray(widths) / 2)
    for index in np.argsort(feet):
        word, kind = words[index], OBJECT_KINDS[words[index]]
        # Side by side, narrow things keep more of their height than wide ones.
        size = kind.size * (zoom if kind.width > 0.8 else min(zoom * 1.3, 1.0))
        name, colour = pick(rng, *kind.colours) if kind.colours else ("", (0.0, 0.0, 0.0))
        foot = (float(middles[index]), float(feet[index]))
        segment_id = canvas.add_segment(CLASS_IDS.get(kind.label or word, 0), word, name, foot=foot[1])
        canvas.darken(foot, size * kind.width * 0.46, size * 0.06, 0.72)
        pen = Pen(canvas, foot, size, backdrop.light, segment_id, mirrored=bool(rng.random() < 0.5))
        kind.draw(pen, colour)


def _describe(seen: list[Segment], backdrop: Backdrop) -> tuple[str, ...]:
    phrases, plain = [], []
    for word in dict.fromkeys(segment.word for segment in seen):
        colours = [segment.colour for segment in seen if segment.word == word]
        same = len(set(colours)) == 1
        # Two of a kind in two colours are named one by one.
        phrases += (
            [count_phrase(word, len(colours), colours[0])]
            if same
            else [count_phrase(word, 1, colour) for colour in colours]
        )
        plain.append(count_phrase(word, len(colours)))
    body = join_phrases(phrases)
    return (
        f"{body} {backdrop.phrase}",
        f"a photo of {body} {backdrop.phrase}",
        f"{join_phrases(phrases[::-1])}, {backdrop.phrase}",
        f"a picture of {join_phrases(plain)} {backdrop.phrase}",
        f"{'there are' if len(seen) > 1 else 'there is'} {body} {backdrop.phrase}",
    )
