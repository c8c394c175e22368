"""Rendered pictures held in memory for pretraining: a function of the seed alone."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
from PIL import Image

from miniature.architecture import SIZE_PX
from oft.pictures import pad_to_square, prepare, prepare_labels

# Shares of each kind of picture in a mixed pool: scenes and objects carry most of the world's words.
MIXTURE = {"scene": 0.4, "object": 0.25, "figure": 0.175, "toy": 0.175}
VIEWS_PER_TOY = 4
# A figure keeps DeepFashion-MultiModal's portrait format until it is padded to a square, as in the pipeline.
FIGURE_SHAPE_PX = (round(SIZE_PX * 1101 / 750), SIZE_PX)


@dataclass(frozen=True)
class Pool:
    """Pictures uint8 [n, 64, 64, 3], label maps uint8 [n, 64, 64], each one's captions and names in them."""

    images: np.ndarray
    labels: np.ndarray
    captions: list[tuple[str, ...]]
    names: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.images)

    def __add__(self, other: Pool) -> Pool:
        return Pool(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.labels, other.labels]),
            [*self.captions, *other.captions],
            [*self.names, *other.names],
        )


def render(
    kind: str, seed: int, index: int
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Return picture, labels, captions and names of the ``index``-th picture of a kind."""
    from miniature.world.figures import render_figure
    from miniature.world.objects import render_object
    from miniature.world.scenes import render_scene
    from miniature.world.toys import random_toy, render_toy

    kinds = ("scene", "object", "figure", "toy")
    rng = np.random.default_rng(np.random.SeedSequence([seed, kinds.index(kind), index]))
    if kind == "scene":
        rendered = render_scene(rng, SIZE_PX)
    elif kind == "object":
        rendered = render_object(rng, SIZE_PX)
    elif kind == "figure":
        rendered = render_figure(rng, *FIGURE_SHAPE_PX)
    else:
        # Every VIEWS_PER_TOY pictures in a row show one toy: pairs for the feature extractor.
        toy_rng = np.random.default_rng(np.random.SeedSequence([seed, 100, index // VIEWS_PER_TOY]))
        rendered = render_toy(rng, random_toy(toy_rng), SIZE_PX)
    image = np.asarray(prepare(Image.fromarray(pad_to_square(rendered.image)), SIZE_PX))
    labels = prepare_labels(pad_to_square(rendered.labels), SIZE_PX)
    return image, labels, rendered.captions, rendered.names


def render_pool(kind: str, num_images: int, seed: int, first: int = 0) -> Pool:
    """Return ``num_images`` pictures of one kind, rendered on all cores; core count does not change them."""
    indices = range(first, first + num_images)
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as workers:
        rows = workers.map(partial(render, kind, seed), indices, chunksize=64)
    images, labels, captions, names = zip(*rows, strict=True)
    return Pool(np.stack(images), np.stack(labels), list(captions), list(names))


def render_mixture(num_images: int, seed: int) -> Pool:
    """Return a pool of all kinds in the shares of ``MIXTURE``, kind after kind."""
    return reduce(
        Pool.__add__, [render_pool(kind, round(num_images * share), seed) for kind, share in MIXTURE.items()]
    )
