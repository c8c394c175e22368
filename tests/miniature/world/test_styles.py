"""One world in two manners."""

from __future__ import annotations

import numpy as np
import pytest

from miniature.world.objects import render_object
from miniature.world.scenes import render_scene
from miniature.world.styles import STYLES, render_in_style


def pictures(seed: int) -> dict[str, np.ndarray]:
    return {style: render_in_style(style, np.random.default_rng(seed), 64).image for style in STYLES}


def test_every_manner_draws_the_same_scene() -> None:
    for seed in range(10):
        drawn = [render_in_style(style, np.random.default_rng(seed), 64) for style in STYLES]
        assert len({each.captions for each in drawn}) == 1
        assert all(np.array_equal(each.labels, drawn[0].labels) for each in drawn)


def test_manners_differ_from_each_other_and_from_the_plain_world_more_than_scenes_do() -> None:
    """A manner shows in the mean colour of a set, or there would be nothing to learn."""
    means = {
        style: np.mean([pictures(seed)[style] for seed in range(20)], axis=(0, 1, 2)) for style in STYLES
    }
    plain = np.mean(
        [
            render(np.random.default_rng(seed), 64).image
            for seed in range(20)
            for render in (render_scene, render_object)
        ],
        axis=(0, 1, 2),
    )
    assert np.linalg.norm(means["ink"] - means["blueprint"]) > 60
    assert all(np.linalg.norm(mean - plain) > 20 for mean in means.values())


@pytest.mark.parametrize("style", STYLES)
def test_outlines_are_the_darkest_or_lightest_part(style: str) -> None:
    image = pictures(1)[style].astype(float).mean(-1)
    extreme = image.min() if style == "ink" else image.max()
    assert (abs(image - extreme) < 40).mean() < 0.25
