"""Shapes and types in signatures, checked at every call while the tests run: import this before the project.

A name that a module imports for type checkers alone is not checked, what stands beside it is.
"""

from __future__ import annotations

import jaxtyping
from beartype import BeartypeConf, beartype

CHECKED = (
    "oft.models.conditioning",
    "oft.models.latents",
    "oft.models.loss",
    "oft.models.prompts",
    "oft.sampling",
    "oft.training",
)

# As everywhere in typed Python, an int will do for a float.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))


jaxtyping.install_import_hook(CHECKED, "tests.shapes.check_types")
