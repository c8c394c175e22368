"""Rendered pictures held in memory for pretraining: a function of the seed alone."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from miniature.architecture import SIZE_PX
from miniature.world.circles import render_circle
from miniature.world.faces import render_face
from miniature.world.figures import render_figure
from miniature.world.objects import render_object
from miniature.world.rendered import Rendered
from miniature.world.scenes import render_scene
from miniature.world.toys import random_toy, render_toy
from oft.datasets.landmarks import NUM_LANDMARKS
from oft.pictures import pad_to_square, prepare, prepare_labels

# Shares of each kind of picture in a mixed pool: scenes, objects and toys carry most of the world's words.
MIXTURE = {"scene": 0.28, "object": 0.22, "toy": 0.2, "figure": 0.14, "face": 0.14, "circle": 0.02}
VIEWS_PER_TOY = 4
# Fewer pictures than these are drawn before a worker has started.
_WORTH_WORKERS = 512
# A figure keeps DeepFashion-MultiModal's portrait format until it is padded to a square, as in the pipeline.
FIGURE_SHAPE_PX = (round(SIZE_PX * 1101 / 750), SIZE_PX)


@dataclass(frozen=True)
class Pool:
    """Rendered pictures and what the renderer knows of them.

    Attributes:
        images: uint8 [n, 64, 64, 3].
        labels: uint8 [n, 64, 64].
        captions: paraphrases of each.
        names: the class words that the captions name.
        landmarks: float32 [n, 68, 2], pixels; NaN where there is no face.
        depth: float16 [n, 64, 64], 0 far to 1 near; NaN where the renderer does not know it.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    captions: list[tuple[str, ...]]
    names: list[tuple[str, ...]]
    landmarks: NDArray[np.float32]
    depth: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.images)

    def __add__(self, other: Pool) -> Pool:
        return Pool(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.labels, other.labels]),
            [*self.captions, *other.captions],
            [*self.names, *other.names],
            np.concatenate([self.landmarks, other.landmarks]),
            np.concatenate([self.depth, other.depth]),
        )


def _render_toy(rng: np.random.Generator, seed: int, index: int) -> Rendered:
    # Every VIEWS_PER_TOY pictures in a row show one toy: pairs for the feature extractor.
    toy_rng = np.random.default_rng(np.random.SeedSequence([seed, 100, index // VIEWS_PER_TOY]))
    return render_toy(rng, random_toy(toy_rng), SIZE_PX)


_RENDERERS: dict[str, Callable[[np.random.Generator, int, int], Rendered]] = {
    "scene": lambda rng, seed, index: render_scene(rng, SIZE_PX),
    "object": lambda rng, seed, index: render_object(rng, SIZE_PX),
    "figure": lambda rng, seed, index: render_figure(rng, *FIGURE_SHAPE_PX),
    "toy": _render_toy,
    "face": lambda rng, seed, index: render_face(rng, SIZE_PX),
    "circle": lambda rng, seed, index: render_circle(rng, SIZE_PX),
}


def render(kind: str, seed: int, index: int) -> Rendered:
    """Return the ``index``-th picture of a kind, 64 x 64, figures padded as in the pipeline."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, list(_RENDERERS).index(kind), index]))
    rendered = _RENDERERS[kind](rng, seed, index)
    image = np.asarray(prepare(Image.fromarray(pad_to_square(rendered.image)), SIZE_PX))
    labels = prepare_labels(pad_to_square(rendered.labels), SIZE_PX)
    return replace(rendered, image=image, labels=labels)


def render_pool(kind: str, num_images: int, seed: int) -> Pool:
    """Return ``num_images`` pictures of one kind, rendered on all cores; core count does not change them."""
    one = partial(render, kind, seed)
    if num_images < _WORTH_WORKERS:
        rendered = [one(index) for index in range(num_images)]
    else:
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as workers:
            rendered = workers.map(one, range(num_images), chunksize=64)
    unmarked = np.full((NUM_LANDMARKS, 2), np.nan, np.float32)
    unknown = np.full((SIZE_PX, SIZE_PX), np.nan, np.float16)
    return Pool(
        np.stack([each.image for each in rendered]),
        np.stack([each.labels for each in rendered]),
        [each.captions for each in rendered],
        [each.names for each in rendered],
        np.stack(
            [unmarked if each.landmarks is None else each.landmarks.astype(np.float32) for each in rendered]
        ),
        np.stack([unknown if each.depth is None else each.depth.astype(np.float16) for each in rendered]),
    )


def render_mixture(num_images: int, seed: int, kinds: Sequence[str] = tuple(MIXTURE)) -> Pool:
    """Return the part of a pool in the shares of ``MIXTURE`` that some kinds make up, kind after kind."""
    return reduce(
        Pool.__add__, [render_pool(kind, round(num_images * MIXTURE[kind]), seed) for kind in kinds]
    )
