"""Faces: landmarks lie on what is drawn, and captions say what is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from miniature.world.faces import Face, describe_face, draw_face, random_face, render_face
from miniature.world.rendered import Rendered
from oft.conditions.landmarks import MIRRORED_LANDMARKS

JAW, BROWS, NOSE, EYES = slice(0, 17), slice(17, 27), slice(27, 36), slice(36, 48)
LIPS, MOUTH = slice(48, 60), slice(60, 68)
FRONTAL = Face(
    person="woman",
    hair="black",
    long_hair=False,
    skin=(226.0, 178.0, 140.0),
    background="blue",
    mouth="smiling",
    mouth_size=0.8,
    eyes_open=1.0,
    brows_raised=0.0,
    yaw=0.0,
    roll=0.0,
    pitch=0.0,
)
SIZE_PX = 256


def draw(face: Face, size_px: int = SIZE_PX, seed: int = 0) -> Rendered:
    return draw_face(face, np.random.default_rng(seed), size_px)


def points_of(rendered: Rendered) -> np.ndarray:
    assert rendered.landmarks is not None
    return rendered.landmarks


def colours_at(rendered: Rendered, points: np.ndarray) -> np.ndarray:
    columns, rows = np.rint(points).astype(int).T
    return rendered.image[rows, columns].astype(float)


def is_skin(face: Face, colours: np.ndarray) -> np.ndarray:
    return np.abs(colours - np.array(face.skin)).max(axis=1) < 12


def test_the_jaw_lies_on_the_edge_of_the_skin() -> None:
    for seed in range(20):
        face = replace(random_face(np.random.default_rng(seed)), hair="black", long_hair=False)
        rendered = draw(face)
        # Away from the ears, which are of skin too.
        jaw = points_of(rendered)[JAW][3:14]
        middle = points_of(rendered)[NOSE].mean(axis=0)
        outwards = (jaw - middle) / np.linalg.norm(jaw - middle, axis=1, keepdims=True)
        assert is_skin(face, colours_at(rendered, jaw - 5 * outwards)).all(), seed
        assert not is_skin(face, colours_at(rendered, jaw + 5 * outwards)).any(), seed


def test_brows_eyes_and_lips_lie_on_their_own_colours() -> None:
    for seed in range(20):
        face = replace(random_face(np.random.default_rng(seed)), hair="black", skin=(244.0, 208.0, 178.0))
        rendered = draw(face)
        points = points_of(rendered)
        assert (colours_at(rendered, points[BROWS]).mean(axis=1) < 90).all(), seed
        # Between the rims are lips.
        between = (points[[49, 51, 53, 57]] + points[[61, 62, 63, 66]]) / 2
        reds = colours_at(rendered, between)
        assert (reds[:, 0] > reds[:, 1] + 25).all(), seed
        irises = np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
        assert (colours_at(rendered, irises).mean(axis=1) < 110).all(), seed


def test_the_white_of_an_open_eye_lies_within_its_landmarks() -> None:
    rendered = draw(FRONTAL)
    rows, columns = np.nonzero((rendered.image > 225).all(axis=-1))
    assert rows.size
    points = points_of(rendered)
    rims = [points[36:42], points[42:48], points[MOUTH]]
    for row, column in zip(rows, columns, strict=True):
        assert any(
            rim[:, 0].min() - 2 < column < rim[:, 0].max() + 2
            and rim[:, 1].min() - 2 < row < rim[:, 1].max() + 2
            for rim in rims
        )


def test_a_face_turned_the_other_way_has_the_mirrored_landmarks() -> None:
    for seed in range(10):
        face = random_face(np.random.default_rng(seed))
        turned = replace(face, yaw=-face.yaw, roll=-face.roll)
        first, second = (points_of(draw(one)) for one in (face, turned))
        # Where the head is, the generator says: the same for both.
        offset = points_of(draw(replace(face, yaw=0, roll=0)))[[27]] - [(SIZE_PX - 1) / 2, 0]
        first, second = first - offset * [1, 0], second - offset * [1, 0]
        mirrored = (first * [-1, 1] + [SIZE_PX - 1, 0])[MIRRORED_LANDMARKS]
        np.testing.assert_allclose(second, mirrored, atol=1e-6)


def test_landmarks_do_not_depend_on_the_size() -> None:
    small, large = (render_face(np.random.default_rng(4), size_px) for size_px in (64, 512))
    np.testing.assert_allclose((points_of(small) + 0.5) * 8 - 0.5, points_of(large), atol=1e-9)
    assert points_of(small).shape == (68, 2) and points_of(small).dtype == np.float64
    assert small.captions == large.captions


def test_landmarks_follow_the_expression() -> None:
    def shape(**changes: Any) -> np.ndarray:
        return points_of(draw(replace(FRONTAL, **changes)))

    def opening(points: np.ndarray) -> float:
        return float(points[[40, 41, 46, 47], 1].mean() - points[[37, 38, 43, 44], 1].mean())

    assert opening(shape(eyes_open=1.0)) > 5 * opening(shape(eyes_open=0.0)) > 0
    assert (shape(brows_raised=1.0)[BROWS, 1] < shape(brows_raised=0.0)[BROWS, 1]).all()
    smiling, neutral, opened = (shape(mouth=mouth) for mouth in ("smiling", "neutral", "open"))
    assert smiling[[48, 54], 1].mean() < neutral[[48, 54], 1].mean()
    gap = [float(points[65:68, 1].mean() - points[61:64, 1].mean()) for points in (neutral, smiling, opened)]
    assert gap[0] == pytest.approx(0, abs=1e-9) and min(gap[1:]) > 5
    right, left = shape(yaw=18.0), shape(yaw=-18.0)
    assert right[30, 0] > shape()[30, 0] > left[30, 0]
    assert shape(roll=10.0)[36, 1] < shape(roll=10.0)[45, 1]


def test_landmarks_lie_within_the_picture_and_fill_half_of_it() -> None:
    for seed in range(200):
        points = points_of(render_face(np.random.default_rng(seed), 64))
        assert points.min() >= 0 and points.max() <= 63
        width, height = np.ptp(points, axis=0)
        assert 0.4 < width / 64 < 0.75 and 0.3 < height / 64 < 0.75


def test_captions_name_person_hair_expression_and_background() -> None:
    for seed in range(100):
        face = random_face(np.random.default_rng(seed))
        captions, names = describe_face(face)
        assert names == (face.person,)
        for caption in captions:
            assert f"{face.background} background" in caption
            assert face.person in caption.split() or f"{face.person}," in caption
            assert (f"{face.hair} hair" if face.hair else "bald") in caption
            assert ("smiling" in caption) == (face.mouth == "smiling")
            assert ("open mouth" in caption) == (face.mouth == "open")
