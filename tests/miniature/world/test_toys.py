"""The particular subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from miniature.world.backdrops import BACKDROPS
from miniature.world.toys import KINDS, PARTS, SUBJECTS, TOY_COLOURS, random_toy, render_toy


def test_there_is_one_subject_of_each_kind() -> None:
    assert len(SUBJECTS) == len(set(KINDS)) == 5
    assert set(PARTS) == set(KINDS)
    assert all(name == toy.name for name, toy in SUBJECTS.items())


@pytest.mark.parametrize("place", BACKDROPS)
def test_captions_name_class_and_background(place: str) -> None:
    toy = SUBJECTS["robot_toy"]
    rendered = render_toy(np.random.default_rng(1), toy, 64, place)
    assert rendered.names[0] == "robot"
    background = rendered.captions[0].removeprefix("a robot ")
    assert background and all(caption.endswith(background) for caption in rendered.captions)
    assert all("robot" in caption for caption in rendered.captions)


def test_a_caption_names_every_colour_that_tells_the_toy_from_others_of_its_kind() -> None:
    rendered = render_toy(np.random.default_rng(1), SUBJECTS["robot_toy"], 64, "sand")
    assert rendered.captions[4] == "a blue robot with orange arms and a yellow star, on the sand"


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_toy_is_large_and_inside_the_picture(name: str) -> None:
    """The same view in other colours differs where the toy is and nowhere else."""
    for seed in range(12):
        toy = SUBJECTS[name]
        other = replace(toy, main="black", second="black", accent="black")
        views = [
            render_toy(np.random.default_rng(seed), each, 64, "snow").image.astype(int)
            for each in (toy, other)
        ]
        rows, columns = np.nonzero(np.abs(views[0] - views[1]).max(-1) > 24)
        assert rows.max() - rows.min() + 1 >= 0.4 * 64
        assert rows.min() > 0 and columns.min() > 0 and columns.max() < 63


def test_random_toys_vary_in_kind_and_colour() -> None:
    toys = [random_toy(np.random.default_rng(seed)) for seed in range(100)]
    assert {toy.kind for toy in toys} == set(KINDS)
    assert {toy.main for toy in toys} == set(TOY_COLOURS)
    assert all(len({toy.main, toy.second, toy.accent}) == 3 for toy in toys)
