"""Circles: the outline is the circle's own, and the caption names its two colours."""

from __future__ import annotations

import math

import numpy as np

from miniature.world.circles import describe_circle, draw_circle, draw_outline, random_circle
from miniature.world.colours import NAMED
from miniature.world.phrases import with_article


def test_the_outline_runs_along_the_edge_of_the_circle() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        circle = random_circle(rng)
        outline = draw_outline(circle, 128)[..., 0] > 0
        rows, columns = np.nonzero(outline)
        distances = np.hypot(columns + 0.5 - circle.x * 128, rows + 0.5 - circle.y * 128)
        assert np.abs(distances - circle.radius * 128).max() < 3
        assert not outline[[0, -1]].any() and not outline[:, [0, -1]].any()
        angles = np.arctan2(rows - circle.y * 128, columns - circle.x * 128)
        assert len(np.unique(np.floor(angles / (math.pi / 18)))) == 36


def test_inside_and_outside_have_the_colours_that_the_caption_names() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        circle = random_circle(rng)
        rendered = draw_circle(circle, rng, 64)
        assert rendered.captions[0] == f"{circle.colour} circle with {circle.background} background"
        inside = rendered.labels == 1
        assert math.isclose(inside.mean(), math.pi * circle.radius**2, rel_tol=0.06)
        for region, name in ((inside, circle.colour), (~inside, circle.background)):
            median = np.median(rendered.image[region], axis=0)
            nearest = min(NAMED, key=lambda other: math.dist(NAMED[other], median))
            assert nearest == name, (seed, median)


def test_every_caption_names_both_colours_with_their_articles() -> None:
    for seed in range(100):
        circle = random_circle(np.random.default_rng(seed))
        captions, names = describe_circle(circle)
        assert names == ("circle",) and len(set(captions)) == 5
        for caption in captions:
            assert f"{circle.colour} circle" in caption and f"{circle.background} background" in caption
            for words in (f"{circle.colour} circle", f"{circle.background} background"):
                assert f" a {words}" not in caption or with_article(words).startswith("a ")
