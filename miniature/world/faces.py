"""Portraits with 68 landmarks: the miniature world's CelebA-HQ.

Own coordinates: the head's middle is 0, its height 1, y points up, x to the picture's right, z to the viewer.
Landmarks are in the order of iBUG's 68-point mark-up, and they are corners of the shapes that are drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from miniature.world.colours import NAMED, vary
from miniature.world.phrases import join_phrases, with_article
from miniature.world.rendered import Canvas, Colour, Light, Pen, Rendered, blend, finish_image, shade
from miniature.world.things import HAIRS, SKINS

Mouth = Literal["smiling", "open", "neutral"]
Outline = NDArray[np.float64]

BACKGROUNDS = ("blue", "green", "purple", "yellow", "white", "grey", "red")
# Colours nearer to each other than this (distance of RGB values) would melt into one: skin and hair against
# the background, and hair against skin.
_MIN_CONTRAST = 90.0
_MIN_HAIR_CONTRAST = 50.0
_CLOSED_EYES = 0.22
_RAISED_BROWS = 0.65
_EYE_X, _EYE_Y = 0.175, 0.02
_EYE_HALF_WIDTH, _EYE_HALF_HEIGHT = 0.098, 0.075
_MOUTH_Y = -0.285
_SHIRT: Colour = (70.0, 76.0, 92.0)
_IRIS: Colour = (52.0, 38.0, 36.0)


@dataclass(frozen=True)
class Face:
    """Who is seen, and how; the caption is written from it.

    Attributes:
        person: woman or man.
        hair: a key of `HAIRS`; '' for a bald head.
        long_hair: whether it falls to the shoulders.
        skin: its colour.
        background: one of `BACKGROUNDS`.
        mouth: what it does.
        mouth_size: how far it smiles or opens, 0 to 1.
        eyes_open: 0 closed to 1 wide.
        brows_raised: 0 level to 1 high.
        yaw, roll: in degrees; positive turns the nose, and leans the crown, to the picture's right.
        pitch: in degrees, positive looks up.
    """

    person: str
    hair: str
    long_hair: bool
    skin: Colour
    background: str
    mouth: Mouth
    mouth_size: float
    eyes_open: float
    brows_raised: float
    yaw: float
    roll: float
    pitch: float

    @property
    def eyes_closed(self) -> bool:
        """Whether nothing is seen of the eyes but their lids."""
        return self.eyes_open < _CLOSED_EYES


def random_face(rng: np.random.Generator) -> Face:
    """Return any face: a woman or a man, hair, expression, a head that is turned a little."""
    person = str(rng.choice(["woman", "man"]))
    bald = person == "man" and rng.random() < 0.2
    skin = SKINS[int(rng.integers(len(SKINS)))]
    hair = str(rng.choice([name for name in HAIRS if math.dist(HAIRS[name], skin) > _MIN_HAIR_CONTRAST]))
    seen = [skin] if bald else [skin, HAIRS[hair]]
    backgrounds = [
        name for name in BACKGROUNDS if all(math.dist(NAMED[name], colour) > _MIN_CONTRAST for colour in seen)
    ]
    mouths: tuple[Mouth, ...] = ("smiling", "open", "neutral")
    return Face(
        person=person,
        hair="" if bald else hair,
        long_hair=bool(person == "woman" and rng.random() < 0.7),
        skin=vary(rng, skin, 6),
        background=str(rng.choice(backgrounds)),
        mouth=mouths[int(rng.choice(3, p=[0.4, 0.25, 0.35]))],
        mouth_size=float(rng.uniform(0.3, 1)),
        eyes_open=float(rng.uniform(0, 0.1)) if rng.random() < 0.2 else float(rng.uniform(0.55, 1)),
        brows_raised=float(rng.uniform(0.7, 1)) if rng.random() < 0.35 else float(rng.uniform(0, 0.3)),
        yaw=float(rng.uniform(-20, 20)),
        roll=float(rng.uniform(-14, 14)),
        pitch=float(rng.uniform(-6, 6)),
    )


def describe_face(face: Face) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return five captions and the class words they name."""
    person = f"{'' if face.hair else 'bald '}{face.person}"
    person = with_article(f"smiling {person}" if face.mouth == "smiling" else person)
    hair = [f"{'long' if face.long_hair else 'short'} {face.hair} hair"] if face.hair else []
    mouth = {"smiling": [], "open": ["an open mouth"], "neutral": ["a closed mouth"]}[face.mouth]
    eyes = "closed eyes" if face.eyes_closed else "open eyes"
    brows = "raised brows" if face.brows_raised > _RAISED_BROWS else "level brows"
    ground = with_article(f"{face.background} background")

    def described(*more: str) -> str:
        features = [*hair, *more, *mouth]
        return f"{person} with {join_phrases(features)}" if features else person

    captions = (
        f"{described()} on {ground}",
        f"a photo of the face of {described(eyes)} on {ground}",
        f"the face of {described()}, {ground}",
        f"a portrait of {described(brows)} in front of {ground}",
        f"a picture of {described(eyes, brows)}, {ground}",
    )
    return captions, (face.person,)


def render_face(rng: np.random.Generator, size_px: int) -> Rendered:
    """Render a portrait before a plain background.

    Args:
        rng: its state alone decides the face; the size only sets the resolution.
        size_px: width and height of the picture.

    Returns:
        Picture, captions and landmarks; the labels are all 0.
    """
    return draw_face(random_face(rng), rng, size_px)


def draw_face(face: Face, rng: np.random.Generator, size_px: int) -> Rendered:
    """Draw the given face in a random place; see `render_face`."""
    canvas = Canvas(size_px, size_px)
    background = vary(rng, NAMED[face.background], 6)
    canvas.rows(0, canvas.bottom, shade(background, 1.06), shade(background, 0.94), 0)
    centre = (0.5 + float(rng.uniform(-0.04, 0.04)), 0.5 + float(rng.uniform(-0.02, 0.03)))
    size = float(rng.uniform(0.64, 0.74))
    light = Light()
    head = Pen(canvas, centre, size, light, 0, tilt=math.radians(face.roll))
    shape = _shape_of(face)
    _draw_behind(head, Pen(canvas, centre, size, light, 0), face)
    _draw_head(head, face, shape)
    captions, names = describe_face(face)
    landmarks = head.place(shape.landmarks) * size_px - 0.5
    return Rendered(finish_image(canvas.image()), canvas.labels(), captions, names, landmarks=landmarks)


@dataclass(frozen=True)
class _Shape:
    """The outlines of a turned face, each [n, 2] in own coordinates.

    Attributes:
        head: the whole outline of the skin, from the picture's left ear over the chin and the crown.
        brows, eyes: the picture's left one and right one; a brow's line, an eye's rim.
        irises: middles of the irises.
        bridge, base: of the nose: from between the eyes to the tip, and the lower rim from left to right.
        lips, mouth: the outer and the inner rim.
        landmarks: [68, 2].
    """

    head: Outline
    brows: tuple[Outline, Outline]
    eyes: tuple[Outline, Outline]
    irises: Outline
    bridge: Outline
    base: Outline
    lips: Outline
    mouth: Outline
    landmarks: Outline


def _shape_of(face: Face) -> _Shape:
    head = _head_outline(face)
    left_brow, right_brow = (_turn(face, _brow(face, side)) for side in (-1, 1))
    left_eye, right_eye = (_turn(face, _eye(face, side)) for side in (-1, 1))
    irises = _turn(face, np.array([(side * _EYE_X, _EYE_Y) for side in (-1, 1)]))
    bridge = _turn(face, np.stack([np.zeros(4), np.linspace(0.03, -0.12, 4)], axis=1), 0.02 * np.arange(4.0))
    base = _turn(
        face, np.stack([np.linspace(-0.085, 0.085, 5), [-0.15, -0.165, -0.175, -0.165, -0.15]], axis=1), 0.04
    )
    lips, mouth = (_turn(face, rim) for rim in _mouth(face))
    strokes = [head[:17], left_brow, right_brow, bridge, base]
    strokes += [left_eye[_SPARSE_EYE], right_eye[_SPARSE_EYE], lips, mouth]
    return _Shape(
        head,
        (left_brow, right_brow),
        (left_eye, right_eye),
        irises,
        bridge,
        base,
        lips,
        mouth,
        np.concatenate(strokes),
    )


def _turn(face: Face, points: Outline, out: float | NDArray[np.float64] = 0.0) -> Outline:
    """Return points [n, 2] of the face's front, turned with the head; ``out`` is how far they stand out."""
    x, y = points[:, 0], points[:, 1]
    z = 0.36 * np.sqrt(1 - np.minimum((x / 0.5) ** 2 + (y / 0.8) ** 2, 0.9)) + out
    yaw, pitch = math.radians(face.yaw), math.radians(face.pitch)
    return np.stack([x * math.cos(yaw) + z * math.sin(yaw), y + z * math.sin(pitch)], axis=1)


def _head_outline(face: Face) -> Outline:
    """Return the skin's outline [48, 2]: the jaw's 17 points from left to right, then over the crown."""
    man = face.person == "man"
    half_width, squareness = (0.385, 2.5) if man else (0.37, 2.15)
    turns = np.concatenate([np.linspace(math.pi, 2 * math.pi, 17), np.linspace(0, math.pi, 33)[1:-1]])
    x = half_width * np.sign(np.cos(turns)) * np.abs(np.cos(turns)) ** (2 / squareness)
    y = np.where(turns > math.pi - 1e-9, 0.54, 0.46) * np.sin(turns) + 0.04
    # The chin lies before the ears: it moves with the nose, half as far.
    ahead = np.where(turns > math.pi, 0.2 * np.sin(turns) ** 2, 0.0)
    return np.stack(
        [
            x + ahead * math.sin(math.radians(face.yaw)),
            y + ahead * math.sin(math.radians(face.pitch)),
        ],
        axis=1,
    )


def _brow(face: Face, side: int) -> Outline:
    """Return a brow's five points from the picture's left to its right."""
    along = np.linspace(-1, 1, 5) * side
    x = side * _EYE_X + 0.12 * np.linspace(-1, 1, 5)
    raised = face.brows_raised
    # `along` is -1 at the end by the nose and 1 at the outer one.
    return np.stack([x, 0.145 + 0.075 * raised - (0.01 + 0.045 * raised) * along**2 - 0.012 * along], axis=1)


# The rim of an eye is drawn with 24 points, of which every fourth is a landmark.
_RIM_POINTS = 24
_SPARSE_EYE = np.arange(0, _RIM_POINTS, _RIM_POINTS // 6)


def _eye(face: Face, side: int) -> Outline:
    """Return an eye's rim [24, 2] from the picture's left corner over the upper lid to the lower one."""
    turns = math.pi - np.arange(_RIM_POINTS) * 2 * math.pi / _RIM_POINTS
    height = _EYE_HALF_HEIGHT * max(face.eyes_open, 0.06)
    return np.stack(
        [side * _EYE_X + _EYE_HALF_WIDTH * np.cos(turns), _EYE_Y + height * np.sin(turns)], axis=1
    )


def _mouth(face: Face) -> tuple[Outline, Outline]:
    """Return the lips' outer rim [12, 2] and inner rim [8, 2], from the left corner over the upper lip."""
    size = face.mouth_size
    lip = 0.05 if face.person == "woman" else 0.038
    # Half width, lift of the corners, and how far the lips part above and below the line between the corners.
    half, lift, above, below = {
        "smiling": (0.15 + 0.05 * size, 0.045 + 0.03 * size, 0.0, 0.045 + 0.045 * size),
        "open": (0.115, 0.0, 0.015 + 0.015 * size, 0.045 + 0.05 * size),
        "neutral": (0.135, 0.012, 0.0, 0.0),
    }[face.mouth]

    def rim(upper: int, lower: int, width: float, up: float, down: float) -> Outline:
        across = np.concatenate([np.linspace(-1, 1, upper), np.linspace(1, -1, lower + 2)[1:-1]])
        bulge = np.concatenate([np.full(upper, up), np.full(lower, -down)]) * (1 - across**2)
        return np.stack([width * across, _MOUTH_Y + lift * across**2 + bulge], axis=1)

    return rim(7, 5, half + 0.02, above + lip, below + lip * 1.2), rim(5, 3, half - 0.015, above, below)


def _draw_behind(head: Pen, body: Pen, face: Face) -> None:
    """Draw what the face hides: long hair, neck, shoulders, ears."""
    hair = HAIRS[face.hair] if face.hair else face.skin
    if face.long_hair:
        dark = shade(hair, 0.86)
        head.oval(0, 0.1, 0.5, 0.5, dark)
        head.polygon(((-0.5, 0.1), (0.5, 0.1), (0.54, -0.75), (-0.54, -0.75)), dark)
    neck = 0.2 if face.person == "man" else 0.15
    skin = shade(face.skin, 0.8)
    body.polygon(((-neck, -0.2), (neck, -0.2), (neck + 0.02, -0.9), (-neck - 0.02, -0.9)), skin)
    half = 0.72 if face.person == "man" else 0.6
    for side in (-1, 1):
        body.polygon(
            ((side * neck, -0.6), (side * half, -0.74), (side * (half + 0.1), -1.2), (0, -1.2), (0, -0.74)),
            _SHIRT,
        )
    if not face.long_hair:
        for side in (-1, 1):
            head.oval(side * 0.39, 0.0, 0.06, 0.1, shade(face.skin, 0.86))


def _draw_head(head: Pen, face: Face, shape: _Shape) -> None:
    hair = HAIRS[face.hair] if face.hair else face.skin
    if face.hair:
        head.oval(0, 0.14, 0.44, 0.44, hair)
    head.polygon(shape.head, face.skin)
    if face.hair:
        _draw_fringe(head, face, shape, hair)
    _draw_nose(head, face, shape)
    for eye, middle in zip(shape.eyes, shape.irises, strict=True):
        _draw_eye(head, face, eye, middle)
    brow_tone = shade(hair, 0.55) if face.hair else shade(face.skin, 0.4)
    width = 0.062 if face.person == "man" else 0.045
    for brow in shape.brows:
        _draw_stroke(head, brow, width, brow_tone)
    _draw_mouth(head, face, shape)


def _draw_fringe(head: Pen, face: Face, shape: _Shape, hair: Colour) -> None:
    """Draw the hair before the forehead: the head's outline above a line that turns with the face."""
    shift = 0.3 * math.sin(math.radians(face.yaw))
    level, dip = (0.34, 0.16) if face.long_hair else (0.33, 0.05)
    crown = shape.head[17:]
    crown = (crown - (0, 0.04)) * 1.03 + (0, 0.04)
    crown = crown[crown[:, 1] > level - dip]
    left, right = crown[-1], crown[0]
    across = np.linspace(-1, 1, 9)
    middle = (left[0] + right[0]) / 2 + shift
    x = np.where(across < 0, middle + across * (middle - left[0]), middle + across * (right[0] - middle))
    line = np.stack([x, level - dip * np.abs(across) ** 1.5], axis=1)
    head.polygon([*map(tuple, crown), *map(tuple, line)], hair)


def _draw_nose(head: Pen, face: Face, shape: _Shape) -> None:
    """Draw the nose's shaded side, away from where the head turns, and its lower rim."""
    dark = shade(face.skin, 0.82)
    side = -1 if face.yaw > 0 else 1
    foot = shape.base[0 if side < 0 else -1]
    head.polygon((tuple(shape.bridge[0]), tuple(shape.bridge[-1]), tuple(shape.base[2]), tuple(foot)), dark)
    _draw_stroke(head, shape.base, 0.036, shade(face.skin, 0.68))


def _draw_eye(head: Pen, face: Face, rim: Outline, middle: Outline) -> None:
    dark = blend(shade(face.skin, 0.3), _IRIS, 0.5)
    upper = rim[: _RIM_POINTS // 2 + 1]
    if not face.eyes_closed:
        head.polygon(rim, (244.0, 244.0, 242.0))
        height = min(float(rim[:, 1].max() - rim[:, 1].min()) / 2, 0.062)
        head.oval(float(middle[0]), float(middle[1]), 0.054, height, _IRIS)
    width = 0.04 if face.eyes_closed else (0.036 if face.person == "woman" else 0.026)
    _draw_stroke(head, upper, width, dark)


def _draw_mouth(head: Pen, face: Face, shape: _Shape) -> None:
    red = (188.0, 52.0, 62.0) if face.person == "woman" else blend(face.skin, (150.0, 62.0, 58.0), 0.6)
    head.polygon(shape.lips, red)
    if face.mouth == "smiling":
        head.polygon(shape.mouth, (246.0, 244.0, 238.0))
    elif face.mouth == "open":
        head.polygon(shape.mouth, (70.0, 26.0, 32.0))
    else:
        _draw_stroke(head, shape.mouth[:5], 0.024, (96.0, 38.0, 42.0))


def _draw_stroke(head: Pen, points: Outline, width: float, colour: Colour) -> None:
    """Draw a line of even width through points [n, 2]."""
    for first, second in pairwise(points):
        head.limb((first[0], first[1]), (second[0], second[1]), width, width, colour)
