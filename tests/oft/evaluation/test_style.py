"""Likeness to a style is that to its held-out pictures, for seen and unseen prompts apart."""

from __future__ import annotations

import numpy as np
import pytest

from oft.evaluation.measure import Measurements
from oft.evaluation.style import SEEN_NAME, UNSEEN_NAME, measure_style, score_style


def unit(rows: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def test_a_picture_is_compared_with_the_held_out_ones_but_itself(features: np.ndarray) -> None:
    unseen = np.arange(7) >= 3
    scores = score_style(features, features, unseen)
    cosines = unit(features) @ unit(features).T
    for row in range(7):
        others = [column for column in range(3, 7) if column != row]
        assert scores[row] == pytest.approx(cosines[row, others].mean(), abs=1e-6)


def test_seen_and_unseen_prompts_are_measured_apart(features: np.ndarray) -> None:
    unseen, sources = np.arange(7) >= 3, np.array([0, 3, 3, 6, 1])
    drawn = np.random.default_rng(1).normal(size=(5, 5)).astype(np.float32)
    measured = Measurements()
    measure_style(drawn, sources, features, features, unseen, measured)
    likeness = (unit(drawn) @ unit(features[unseen]).T).mean(axis=1)
    assert measured.metrics[UNSEEN_NAME] == pytest.approx(likeness[1:4].mean(), abs=1e-6)
    assert measured.metrics[SEEN_NAME] == pytest.approx(likeness[[0, 4]].mean(), abs=1e-6)
    assert np.isnan(measured.scores[UNSEEN_NAME]).tolist() == [True, False, False, False, True]
    assert np.isnan(measured.scores[SEEN_NAME]).tolist() == [False, True, True, True, False]
    expected = score_style(features, features, unseen)[sources]
    assert measured.scores[f"{UNSEEN_NAME}_real"][1:4] == pytest.approx(expected[1:4])
    assert measured.metrics[f"{SEEN_NAME}_reconstruction"] == pytest.approx(expected[[0, 4]].mean())


def test_pictures_in_the_style_are_more_like_it_than_others(features: np.ndarray) -> None:
    manner = np.array([5, 0, 0, 0, 0], np.float32)
    unseen, sources = np.arange(7) >= 3, np.arange(7)
    found = []
    for drawn in (features + manner, features - manner):
        measured = Measurements()
        measure_style(drawn, sources, features + manner, features + manner, unseen, measured)
        found.append(measured.metrics[UNSEEN_NAME])
    assert found[0] > found[1]
