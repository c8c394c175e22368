"""The particular subjects."""

from __future__ import annotations

import numpy as np
import pytest

from miniature.world.backdrops import BACKDROPS
from miniature.world.toys import KINDS, SUBJECTS, random_toy, render_toy


def test_there_are_six_subjects_of_six_kinds() -> None:
    assert len(SUBJECTS) == len(KINDS) == 6
    assert all(name == toy.name for name, toy in SUBJECTS.items())


@pytest.mark.parametrize("place", BACKDROPS)
def test_captions_name_class_and_background(place: str) -> None:
    toy = SUBJECTS["robot_toy"]
    rendered = render_toy(np.random.default_rng(1), toy, 64, place)
    assert rendered.names[0] == "robot"
    background = rendered.captions[0].removeprefix("a robot ")
    assert background and all(caption.endswith(background) for caption in rendered.captions)
    assert all("robot" in caption for caption in rendered.captions)


def test_toy_fills_a_third_to_two_thirds_of_the_height() -> None:
    """The picture of one toy less that of another in the same place shows where toys stand."""
    for seed in range(20):
        views = [
            render_toy(np.random.default_rng(seed), SUBJECTS[name], 64, "floor").image.astype(int)
            for name in ("monster_toy", "rocket_toy")
        ]
        rows = np.nonzero((np.abs(views[0] - views[1]).max(-1) > 24).any(1))[0]
        assert 0.3 * 64 <= rows[-1] - rows[0] + 1 <= 0.78 * 64


def test_random_toys_vary_in_kind_and_colour() -> None:
    toys = [random_toy(np.random.default_rng(seed)) for seed in range(100)]
    assert {toy.kind for toy in toys} == set(KINDS)
    assert len({toy.main_word for toy in toys}) >= 8
