"""Clothed full-body figures with DensePose part ids and UV: the miniature world's DeepFashion-MultiModal.

Part ids (DensePose, Güler et al. 2018): 1 torso back, 2 torso front, 3 and 4 right and left hand, 5 and 6
left and right foot, 7 to 10 upper legs (right back, left back, right front, left front), 11 to 14 lower legs
likewise, 15 to 18 upper arms (left inner, right inner, left outer, right outer), 19 to 22 lower arms
likewise, 23 and 24 right and left half of the head. Seen from the front a figure shows torso 2, the front
legs and the inner arms; the person's right side is on the picture's left.

One file: pose, body, clothes and their id maps are drawn in one order on one canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miniature.world.colours import NAMED, vary
from miniature.world.phrases import with_article
from miniature.world.rendered import (
    Canvas,
    Colour,
    Light,
    Pen,
    Rendered,
    finish_image,
    shade,
)
from miniature.world.things import HAIRS, SKINS

NUM_PARTS = 24
SHIRT_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black")
TROUSER_COLOURS = ("blue", "black", "brown", "green", "white", "red")
BACKDROP_COLOURS: dict[str, Colour] = {
    "grey": (206.0, 206.0, 208.0),
    "white": (238.0, 237.0, 234.0),
    "blue": (184.0, 204.0, 224.0),
    "pink": (234.0, 206.0, 208.0),
    "green": (196.0, 216.0, 196.0),
    "yellow": (238.0, 228.0, 192.0),
}
Point = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """What a figure is and wears; the caption is written from it."""

    person: str
    hair: str
    long_hair: bool
    skin: Colour
    upper: str
    upper_colour: str
    sleeves: str
    lower: str
    lower_colour: str
    long_skirt: bool
    from_behind: bool
    backdrop: str


def random_figure(rng: np.random.Generator) -> Figure:
    """Return any figure: a woman or a man, clothes, colours, pattern, front or back view."""
    person = str(rng.choice(["woman", "man"], p=[0.6, 0.4]))
    upper = "dress" if person == "woman" and rng.random() < 0.35 else "shirt"
    upper_colour = str(rng.choice(SHIRT_COLOURS))
    if upper == "dress":
        lower, lower_colour = "", upper_colour
    else:
        kinds = ["trousers", "shorts", "skirt"] if person == "woman" else ["trousers", "shorts"]
        lower = str(rng.choice(kinds))
        lower_colour = str(rng.choice([colour for colour in TROUSER_COLOURS if colour != upper_colour]))
    return Figure(
        person=person,
        hair=str(rng.choice(list(HAIRS))),
        long_hair=bool(person == "woman" and rng.random() < 0.7),
        skin=vary(rng, SKINS[int(rng.integers(len(SKINS)))], 6),
        upper=upper,
        upper_colour=upper_colour,
        sleeves=str(
            rng.choice(
                ["long", "short", "no"], p=[0.42, 0.42, 0.16] if person == "woman" else [0.5, 0.5, 0.0]
            )
        ),
        lower=lower,
        lower_colour=lower_colour,
        long_skirt=bool(rng.random() < 0.4),
        from_behind=bool(rng.random() < 0.18),
        backdrop=str(rng.choice(list(BACKDROP_COLOURS))),
    )


def describe_figure(figure: Figure) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return five captions and the class words they name."""
    sleeves = f"{figure.sleeves} sleeves"
    skirt = "long" if figure.long_skirt else "short"
    hair = f"{'long' if figure.long_hair else 'short'} {figure.hair} hair"
    behind = " seen from behind" if figure.from_behind else ""
    if figure.upper == "dress":
        plain = with_article(f"{figure.upper_colour} dress with {sleeves}")
        brief = with_article(f"{skirt} {figure.upper_colour} dress")
        names: tuple[str, ...] = (figure.person, "dress")
    else:
        lower_name = f"{figure.lower_colour} {figure.lower}"
        lower = with_article(lower_name) if figure.lower == "skirt" else lower_name
        plain = f"{with_article(f'{figure.upper_colour} shirt')} with {sleeves} and {lower}"
        if figure.lower == "skirt":
            lower = with_article(f"{skirt} {lower_name}")
        brief = f"{with_article(f'{figure.upper_colour} shirt')} and {lower}"
        names = (figure.person, "shirt", figure.lower)
    person = with_article(figure.person)
    captions = (
        f"{person} in {plain}{behind}",
        f"{person} with {hair} wearing {brief}{behind}",
        f"a photo of {person} wearing {plain}{behind}",
        f"{person} in {brief} on {with_article(figure.backdrop)} background{behind}",
        f"a picture of {person} with {hair} in {plain}{behind}",
    )
    return captions, names


@dataclass(frozen=True)
class _Joints:
    """Joints of a figure 1 tall, feet at 0; index 0 is the picture's left side."""

    shoulders: tuple[Point, Point]
    elbows: tuple[Point, Point]
    wrists: tuple[Point, Point]
    hands: tuple[Point, Point]
    hips: tuple[Point, Point]
    knees: tuple[Point, Point]
    ankles: tuple[Point, Point]
    toes: tuple[Point, Point]
    head: Point


def _point_at(start: Point, angle: float, length: float) -> Point:
    """Return the point at a length from the start, at an angle in degrees from straight down towards +x."""
    turn = math.radians(angle)
    return (start[0] + length * math.sin(turn), start[1] - length * math.cos(turn))


def _random_joints(rng: np.random.Generator, shoulder: float, hip: float) -> _Joints:
    sway = float(rng.uniform(-0.02, 0.02))
    shoulders: list[Point] = []
    elbows: list[Point] = []
    wrists: list[Point] = []
    hands: list[Point] = []
    hips: list[Point] = []
    knees: list[Point] = []
    ankles: list[Point] = []
    toes: list[Point] = []
    pose = str(rng.choice(["rest", "hips", "free", "wide"], p=[0.4, 0.2, 0.28, 0.12]))
    stance = float(rng.uniform(3, 11))
    for side in (-1, 1):
        at = (side * shoulder + sway, 0.805)
        if pose == "rest":
            upper, lower = float(rng.uniform(6, 18)), float(rng.uniform(0, 14))
        elif pose == "hips":
            upper, lower = float(rng.uniform(36, 48)), float(rng.uniform(-50, -38))
        elif pose == "wide":
            upper, lower = float(rng.uniform(50, 85)), float(rng.uniform(40, 100))
        else:
            upper, lower = float(rng.uniform(8, 60)), float(rng.uniform(-25, 80))
        elbow = _point_at(at, side * upper, 0.155)
        wrist = _point_at(elbow, side * lower, 0.135)
        shoulders.append(at)
        elbows.append(elbow)
        wrists.append(wrist)
        hands.append(_point_at(wrist, side * lower, 0.05))
        root = (side * hip * 0.55, 0.47)
        thigh = stance + float(rng.uniform(-3, 7))
        shin = thigh - float(rng.uniform(-2, 7))
        knee = _point_at(root, side * thigh, 0.22)
        ankle = _point_at(knee, side * shin, 0.205)
        hips.append(root)
        knees.append(knee)
        ankles.append(ankle)
        toes.append((ankle[0] + side * float(rng.uniform(0.012, 0.03)), ankle[1] - 0.034))
    return _Joints(
        shoulders=(shoulders[0], shoulders[1]),
        elbows=(elbows[0], elbows[1]),
        wrists=(wrists[0], wrists[1]),
        hands=(hands[0], hands[1]),
        hips=(hips[0], hips[1]),
        knees=(knees[0], knees[1]),
        ankles=(ankles[0], ankles[1]),
        toes=(toes[0], toes[1]),
        head=(sway, 0.93),
    )


def render_figure(rng: np.random.Generator, height_px: int, width_px: int) -> Rendered:
    """Render a clothed figure before a studio background.

    Args:
        rng: its state alone decides the figure.
        height_px, width_px: size of the picture; the data set's own ratio is 1101 to 750.

    Returns:
        Picture, DensePose part ids (0 to 24), captions of the clothes, and U and V within each part.
    """
    return draw_figure(random_figure(rng), rng, height_px, width_px)


def draw_figure(figure: Figure, rng: np.random.Generator, height_px: int, width_px: int) -> Rendered:
    """Draw the given figure in a random pose; see `render_figure`."""
    canvas = Canvas(height_px, width_px)
    light = Light((1.0, 1.0, 1.0), int(rng.choice([-1, 1])))
    studio = vary(rng, BACKDROP_COLOURS[figure.backdrop], 5)
    floor = canvas.bottom * float(rng.uniform(0.8, 0.9))
    canvas.rows(0, floor, shade(studio, 0.96), shade(studio, 1.1), 0)
    canvas.rows(floor, canvas.bottom, shade(studio, 0.9), shade(studio, 0.8), 0)
    size = canvas.bottom * float(rng.uniform(0.78, 0.92))
    foot = (
        0.5 + float(rng.uniform(-0.07, 0.07)),
        (canvas.bottom + size) / 2 + float(rng.uniform(-0.02, 0.03)),
    )
    canvas.darken((foot[0] - light.side * 0.05, foot[1] - 0.01), 0.24, 0.045, 0.72)
    man = figure.person == "man"
    shoulder, hip = (0.128, 0.1) if man else (0.112, 0.106)
    joints = _random_joints(rng, shoulder, hip)
    pen = Pen(canvas, foot, size, light, 0, squeeze=float(rng.uniform(0.86, 1.04)))
    axes = _draw_body(pen, figure, joints, shoulder, hip, rng)
    parts = canvas.segment_map().copy()
    image = canvas.image()
    captions, names = describe_figure(figure)
    return Rendered(finish_image(image), parts, captions, names, _uv_map(parts, axes, pen))


@dataclass(frozen=True)
class _PartAxis:
    """The axis of a body part in the figure's own coordinates, and its half width."""

    start: Point
    end: Point
    half: float


def _draw_body(
    pen: Pen, figure: Figure, joints: _Joints, shoulder: float, hip: float, rng: np.random.Generator
) -> dict[int, _PartAxis]:
    skin = figure.skin
    upper = vary(rng, NAMED[figure.upper_colour], 8)
    lower = vary(rng, NAMED[figure.lower_colour], 8) if figure.upper == "shirt" else upper
    shoes = vary(rng, NAMED[str(rng.choice(["black", "brown", "white"]))], 8)
    hair = vary(rng, HAIRS[figure.hair], 6)
    # From behind the person's left side is on the picture's left.
    right_first = not figure.from_behind
    axes: dict[int, _PartAxis] = {}
    if figure.long_hair and not figure.from_behind:
        _draw_hair_behind_shoulders(pen, joints.head[0], hair)
    for index in (0, 1):
        is_right = (index == 0) == right_first
        tone = 1.0 if (index == 0) == (pen.light.side < 0) else 0.84
        _draw_leg(pen, figure, joints, index, is_right, axes, (skin, lower, shoes), tone)
    _draw_torso(pen, figure, joints, hip, (skin, upper, lower))
    axes[1 if figure.from_behind else 2] = _PartAxis((0, 0.84), (0, 0.46), shoulder + 0.02)
    for index in (0, 1):
        is_right = (index == 0) == right_first
        tone = 1.02 if (index == 0) == (pen.light.side < 0) else 0.8
        _draw_arm(pen, figure, joints, index, is_right, axes, (skin, upper), tone)
    _draw_head(pen, figure, joints.head, skin, hair, right_first)
    axes[23] = axes[24] = _PartAxis((joints.head[0], 1.0), (joints.head[0], 0.85), 0.08)
    return axes


def _draw_hair_behind_shoulders(pen: Pen, x: float, hair: Colour) -> None:
    """Draw long hair of a figure seen from the front, its head at ``x``: what shows beside the neck."""
    for sign, segment_id in ((-1, 23), (1, 24)):
        pen.segment_id = segment_id
        pen.polygon(
            ((x + sign * 0.082, 0.93), (x + sign * 0.094, 0.8), (x, 0.78), (x, 0.95)), shade(hair, 0.8)
        )


def _draw_torso(
    pen: Pen, figure: Figure, joints: _Joints, hip: float, colours: tuple[Colour, Colour, Colour]
) -> None:
    skin, upper, lower = colours
    head = joints.head
    torso = [
        (joints.shoulders[0][0] - 0.012, 0.815),
        (head[0] - 0.03, 0.848),
        (head[0] + 0.03, 0.848),
        (joints.shoulders[1][0] + 0.012, 0.815),
        (hip * 0.86 + head[0] / 2, 0.63),
        (hip * 1.12, 0.48),
        (0.0, 0.445),
        (-hip * 1.12, 0.48),
        (-hip * 0.86 + head[0] / 2, 0.63),
    ]
    pen.segment_id = 1 if figure.from_behind else 2
    pen.polygon(torso, upper)
    far = joints.shoulders[1 if pen.light.side < 0 else 0][0] * 0.96
    pen.polygon(
        ((far, 0.81), (far * 0.55, 0.815), (far * 0.5, 0.53), (far * 0.76, 0.53), (far * 0.72, 0.64)),
        shade(upper, 0.84),
        True,
    )
    if figure.upper == "dress" or figure.lower == "skirt":
        _draw_skirt(pen, figure, hip, lower)
    else:
        pen.polygon(
            ((hip * 1.13, 0.52), (hip * 1.12, 0.475), (0, 0.44), (-hip * 1.12, 0.475), (-hip * 1.13, 0.52)),
            lower,
        )
    if not figure.from_behind:
        neck = shade(skin, 0.86)
        pen.polygon(((head[0] - 0.032, 0.855), (head[0] + 0.032, 0.855), (head[0], 0.8)), neck, detail=True)


def _draw_leg(
    pen: Pen,
    figure: Figure,
    joints: _Joints,
    index: int,
    is_right: bool,
    axes: dict[int, _PartAxis],
    colours: tuple[Colour, Colour, Colour],
    tone: float,
) -> None:
    skin, cloth, shoes = (shade(colour, tone) for colour in colours)
    hip, knee, ankle = joints.hips[index], joints.knees[index], joints.ankles[index]
    first = 7 if figure.from_behind else 9
    upper, lower = first + (0 if is_right else 1), first + 4 + (0 if is_right else 1)
    foot = 6 if is_right else 5
    trousers = figure.lower == "trousers"
    pen.segment_id = lower
    pen.limb(
        knee, ankle, 0.1 if trousers else 0.086, 0.086 if trousers else 0.068, cloth if trousers else skin
    )
    pen.segment_id = upper
    pen.limb(hip, knee, 0.13 if trousers else 0.12, 0.104 if trousers else 0.092, cloth if trousers else skin)
    if figure.lower == "shorts":
        hem = (hip[0] + (knee[0] - hip[0]) * 0.62, hip[1] + (knee[1] - hip[1]) * 0.62)
        pen.limb(hip, hem, 0.136, 0.128, cloth)
    pen.segment_id = foot
    toe = joints.toes[index]
    pen.limb((ankle[0], ankle[1] - 0.012), toe, 0.074, 0.066, shoes)
    axes[upper], axes[lower] = _PartAxis(hip, knee, 0.065), _PartAxis(knee, ankle, 0.05)
    axes[foot] = _PartAxis(ankle, (toe[0], toe[1] - 0.02), 0.037)


def _draw_skirt(pen: Pen, figure: Figure, hip: float, colour: Colour) -> None:
    hem = 0.2 if figure.long_skirt else 0.3
    flare = hip * (1.75 if figure.long_skirt else 1.55)
    waist = 0.585 if figure.lower == "skirt" else 0.5
    first = 7 if figure.from_behind else 9
    for sign in (-1, 1):
        is_right = (sign == 1) == figure.from_behind
        pen.segment_id = first + (0 if is_right else 1)
        tone = 1.0 if sign == pen.light.side else 0.86
        pen.polygon(
            ((0, 0.455), (sign * hip * 1.12, 0.49), (sign * flare, hem), (0, hem - 0.012)),
            shade(colour, tone),
        )
    pen.segment_id = 1 if figure.from_behind else 2
    pen.polygon(
        ((-hip * 0.95, waist), (hip * 0.95, waist), (hip * 1.14, 0.48), (0, 0.44), (-hip * 1.14, 0.48)),
        colour,
    )
    fold = shade(colour, 0.76)
    for x in (-0.35, 0.3):
        pen.polygon(((hip * x, 0.44), (flare * (x + 0.1), hem), (flare * (x - 0.06), hem)), fold, detail=True)


def _draw_arm(
    pen: Pen,
    figure: Figure,
    joints: _Joints,
    index: int,
    is_right: bool,
    axes: dict[int, _PartAxis],
    colours: tuple[Colour, Colour],
    tone: float,
) -> None:
    skin, cloth = (shade(colour, tone) for colour in colours)
    shoulder, elbow, wrist = joints.shoulders[index], joints.elbows[index], joints.wrists[index]
    first = 17 if figure.from_behind else 15
    upper, lower = first + (1 if is_right else 0), first + 4 + (1 if is_right else 0)
    hand = 3 if is_right else 4
    is_long = figure.sleeves == "long"
    pen.segment_id = hand
    pen.limb(wrist, joints.hands[index], 0.062, 0.06, skin)
    pen.segment_id = upper
    pen.limb(shoulder, elbow, 0.086, 0.074, cloth if is_long else skin)
    if figure.sleeves == "short":
        middle = (
            shoulder[0] + (elbow[0] - shoulder[0]) * 0.55,
            shoulder[1] + (elbow[1] - shoulder[1]) * 0.55,
        )
        pen.limb(shoulder, middle, 0.092, 0.088, cloth)
    pen.segment_id = lower
    pen.limb(
        elbow, wrist, 0.074 if is_long else 0.066, 0.068 if is_long else 0.056, cloth if is_long else skin
    )
    axes[upper], axes[lower] = _PartAxis(shoulder, elbow, 0.043), _PartAxis(elbow, wrist, 0.037)
    axes[hand] = _PartAxis(wrist, joints.hands[index], 0.031)


def _draw_head(pen: Pen, figure: Figure, head: Point, skin: Colour, hair: Colour, right_first: bool) -> None:
    x, y = head
    halves = ((-1, 23 if right_first else 24), (1, 24 if right_first else 23))
    for sign, segment_id in halves:
        pen.segment_id = segment_id
        tone = 1.02 if sign == pen.light.side else 0.86
        pen.polygon(
            ((x, 0.835), (x + sign * 0.036, 0.84), (x + sign * 0.036, 0.9), (x, 0.9)), shade(skin, tone * 0.9)
        )
        turns = np.linspace(-math.pi / 2, math.pi / 2, 10)
        skull = np.stack([sign * np.cos(turns) * 0.08 + x, np.sin(turns) * 0.082 + y], axis=1)
        pen.polygon(skull, shade(hair, tone))
        if figure.from_behind:
            if figure.long_hair:
                pen.polygon(
                    ((x, y), (x + sign * 0.08, y), (x + sign * 0.086, 0.78), (x, 0.76)), shade(hair, tone)
                )
            continue
        face = np.stack([sign * np.cos(turns) * 0.062 + x, np.sin(turns) * 0.064 + y - 0.016], axis=1)
        pen.polygon(face, shade(skin, tone), detail=True)
        pen.oval(x + sign * 0.026, y - 0.006, 0.011, 0.013, shade(skin, 0.3), detail=True)


def _uv_map(parts: NDArray[np.uint8], axes: dict[int, _PartAxis], pen: Pen) -> NDArray[np.uint8]:
    """Return U across and V along each visible part, 0 to 255: uint8 [height, width, 2]."""
    height, width = parts.shape
    unit = np.float32(pen.canvas.width_px)
    uv = np.zeros((height, width, 2), np.uint8)
    for part, line in axes.items():
        rows, columns = np.nonzero(parts == part)
        if not rows.size:
            continue
        (start_x, start_y), (end_x, end_y) = pen.place((line.start, line.end))
        axis = np.array([end_x - start_x, end_y - start_y])
        length = float(np.hypot(*axis)) or 1.0
        axis /= length
        across = (columns + 0.5) / unit - start_x
        down = (rows + 0.5) / unit - start_y
        along = (across * axis[0] + down * axis[1]) / length
        aside = (across * axis[1] - down * axis[0]) / (line.half * pen.size)
        uv[rows, columns, 0] = np.clip(127.5 + 127.5 * aside, 0, 255).astype(np.uint8)
        uv[rows, columns, 1] = np.clip(255 * along, 0, 255).astype(np.uint8)
    return uv
