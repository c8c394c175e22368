from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from oft.conditions.landmarks import (
    LINE_COLOUR,
    MIRRORED_LANDMARKS,
    POINT_COLOUR,
    STROKE_ENDS,
    extract_landmarks,
)
from oft.datasets.landmarks import NUM_LANDMARKS


def a_face(size_px: int = 512) -> NDArray[np.float64]:
    """Return random landmarks, whole pixels."""
    return np.random.default_rng(0).integers(0, size_px, (NUM_LANDMARKS, 2)).astype(np.float64)


def strokes() -> list[frozenset[int]]:
    bounds = [0, *(end + 1 for end in sorted(STROKE_ENDS))]
    return [frozenset(range(*pair)) for pair in pairwise(bounds)]


def test_points_are_green_and_lines_white_on_black() -> None:
    drawn = extract_landmarks(a_face(), (512, 512))
    assert drawn.shape == (512, 512, 3) and drawn.dtype == np.uint8
    assert {tuple(colour) for colour in np.unique(drawn.reshape(-1, 3), axis=0)} == {
        (0, 0, 0),
        POINT_COLOUR,
        LINE_COLOUR,
    }


def test_points_of_one_stroke_are_joined_and_strokes_are_not() -> None:
    # In two rows, so that only neighbours on one stroke have white between them.
    points = np.stack([np.arange(NUM_LANDMARKS) * 30.0 + 15, np.full(NUM_LANDMARKS, 100.0)], axis=1)
    drawn = extract_landmarks(points, (200, NUM_LANDMARKS * 30))
    between = [tuple(drawn[100, index * 30 + 30]) == LINE_COLOUR for index in range(NUM_LANDMARKS - 1)]
    assert between == [index not in STROKE_ENDS for index in range(NUM_LANDMARKS - 1)]


@pytest.mark.parametrize("size", [(64, 96), (256, 300), (512, 512)])
def test_points_lie_where_they_are_said_to_be_or_outside(size: tuple[int, int]) -> None:
    far_out = np.full((NUM_LANDMARKS, 2), 1e300)
    assert not extract_landmarks(far_out, size).any()
    far_out[16] = (40, 20)  # the end of a stroke: no line is drawn over it
    drawn = extract_landmarks(far_out, size)
    # In a small picture the point is averaged with the end of the line that leads to it.
    np.testing.assert_allclose(drawn[20, 40], POINT_COLOUR, atol=40 if min(size) < 256 else 0)


def test_small_pictures_have_the_drawing_of_large_ones() -> None:
    """Points as close as those of an eye at 64 px stay apart."""
    points = a_face(256)
    small = extract_landmarks((points + 0.5) / 4 - 0.5, (64, 64)).astype(float)
    large = extract_landmarks(points, (256, 256)).astype(float)
    np.testing.assert_allclose(small, large.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3)), atol=0.51)


def test_mirroring_twice_changes_nothing() -> None:
    np.testing.assert_array_equal(MIRRORED_LANDMARKS[MIRRORED_LANDMARKS], np.arange(NUM_LANDMARKS))


def test_each_part_of_the_face_is_mirrored_to_itself_or_to_its_twin() -> None:
    jaw, brow, other_brow, bridge, base, eye, other_eye, mouth = strokes()
    mirrored = [frozenset(MIRRORED_LANDMARKS[list(stroke)].tolist()) for stroke in strokes()]
    assert mirrored == [jaw, other_brow, brow, bridge, base, other_eye, eye, mouth]


def test_neighbours_stay_neighbours_but_where_eyes_and_mouth_are_left_open() -> None:
    edges = {frozenset((index, index + 1)) for index in range(NUM_LANDMARKS - 1) if index not in STROKE_ENDS}
    mirrored = {frozenset(MIRRORED_LANDMARKS[list(edge)].tolist()) for edge in edges}
    lost = {tuple(sorted(edge)) for edge in edges - mirrored}
    assert lost == {(39, 40), (45, 46), (54, 55), (59, 60), (64, 65)}
