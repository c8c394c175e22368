"""The miniature world: a deterministic renderer of pictures in the official layouts of data sets."""

from __future__ import annotations

from miniature.world.circles import render_circle
from miniature.world.faces import render_face
from miniature.world.figures import render_figure
from miniature.world.objects import render_object
from miniature.world.rendered import Rendered
from miniature.world.scenes import render_scene
from miniature.world.toys import SUBJECTS, Toy, random_toy, render_toy
from miniature.world.vocabulary import world_words

__all__ = [
    "SUBJECTS",
    "Rendered",
    "Toy",
    "random_toy",
    "render_circle",
    "render_face",
    "render_figure",
    "render_object",
    "render_scene",
    "render_toy",
    "world_words",
]
