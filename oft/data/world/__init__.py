"""The miniature world: a deterministic renderer of pictures in the official layouts of data sets."""

from __future__ import annotations

from oft.data.world.figures import render_figure
from oft.data.world.objects import render_object
from oft.data.world.rendered import Rendered
from oft.data.world.scenes import render_scene
from oft.data.world.toys import SUBJECTS, Toy, random_toy, render_toy
from oft.data.world.vocabulary import world_words

__all__ = [
    "SUBJECTS",
    "Rendered",
    "Toy",
    "random_toy",
    "render_figure",
    "render_object",
    "render_scene",
    "render_toy",
    "world_words",
]
