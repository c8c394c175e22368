"""The 68 landmarks of a face, drawn."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer, UInt8

from oft.conditions.condition import Condition
from oft.datasets.annotations import FACE_LANDMARKS
from oft.datasets.landmarks import NUM_LANDMARKS

# Last points of the strokes: jaw, brows, bridge and base of the nose, eyes, mouth (iBUG's 68-point mark-up).
STROKE_ENDS = frozenset({16, 21, 26, 30, 35, 41, 47, 67})
POINT_COLOUR = (0, 255, 0)
LINE_COLOUR = (255, 255, 255)
# The least side of a drawing: in a smaller one strokes of one pixel would run into each other.
DRAWN_PX = 256
# Points further out than this cannot touch a picture; OpenCV's own numbers end a little beyond.
_FAR_PX = 1 << 14


def extract_landmarks(points: Float[np.ndarray, "68 2"], size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """Return green points joined by white lines on black, uint8 [height, width, 3], RGB.

    As ``plot_kpts`` of the reference release of OFT draws them (github.com/Zeju1997/oft,
    oft-control/eval_landmark.py, with its default colour): point after point, each followed by the line to
    the next, so that eyes and mouth stay open. The release reads its conditioning images from files and does
    not say how those were made; this is the drawing that it holds. For pictures below 256 px it is made at a
    multiple of their size and averaged down.

    Args:
        points: [68, 2], x and y in pixels of the drawing, in iBUG's order; they may lie outside.
        size: height and width of the drawing, pixels.
    """
    import cv2

    scale = -(-DRAWN_PX // min(size))
    height, width = (side * scale for side in size)
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    radius = max(min(height, width) // 200, 1)
    # Centres of pixels lie at whole numbers.
    places = ((points + 0.5) * scale - 0.5).clip(-_FAR_PX, _FAR_PX).astype(int).tolist()
    for index, place in enumerate(places):
        cv2.circle(canvas, place, radius, POINT_COLOUR, 2 * radius)
        if index not in STROKE_ENDS:
            cv2.line(canvas, place, places[index + 1], LINE_COLOUR, radius)
    return canvas if scale == 1 else np.asarray(cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA))


def _mirrored() -> Integer[np.ndarray, " 68"]:
    """Return for each point which one it is in the mirror image: strokes change sides or run backwards."""
    mirrored = np.arange(NUM_LANDMARKS)
    swapped = [(range(17, 22), range(26, 21, -1))]  # brows
    swapped += [
        (range(36, 40), range(45, 41, -1)),
        (range(40, 42), range(47, 45, -1)),
    ]  # eyes, upper and lower
    for left, right in swapped:
        mirrored[list(left)], mirrored[list(right)] = list(right), list(left)
    backwards = [range(17), range(31, 36)]  # jaw, base of the nose
    backwards += [range(48, 55), range(55, 60), range(60, 65), range(65, 68)]  # lips, outside and inside
    for stroke in backwards:
        mirrored[list(stroke)] = list(reversed(stroke))
    mirrored.setflags(write=False)
    return mirrored


MIRRORED_LANDMARKS = _mirrored()


CONDITION = Condition(
    "landmarks",
    shows="68 points of a face",
    title="Face landmarks to picture",
    explanation=(
        "The condition is 68 points of a face, joined by lines: jaw, brows, eyes, nose, mouth. The model "
        "must draw a face that looks and moves like that."
    ),
    annotation=FACE_LANDMARKS,
    extract=extract_landmarks,
    mirrored=MIRRORED_LANDMARKS,
)
