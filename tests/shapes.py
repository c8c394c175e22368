"""Shapes and types in signatures, checked at every call while the tests run: import this before the project.

A name that a module imports for type checkers alone is not checked, what stands beside it is. The metrics are
left out: they look at the shapes of what they are given at every run, and their tests give them wrong ones.
So is oft.pictures: beartype takes no io.BytesIO for an IO[bytes].
"""

from __future__ import annotations

import jaxtyping
from beartype import BeartypeConf, beartype

CHECKED = (
    "oft.adapters.hint.encoder",
    "oft.adapters.oft.layers",
    "oft.adapters.oft.rotation",
    "oft.conditions",
    "oft.models.conditioning",
    "oft.models.latents",
    "oft.models.loss",
    "oft.models.prompts",
    "oft.sampling",
    "oft.shards.samples",
    "oft.shards.shards",
    "oft.training",
)

# As everywhere in typed Python, an int will do for a float.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))


jaxtyping.install_import_hook(CHECKED, "tests.shapes.check_types")
