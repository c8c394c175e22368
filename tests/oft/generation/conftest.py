"""A base of its own for each test: adapters are put on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from oft.models.base import Base, load_base


@pytest.fixture
def base(base_folder: Path) -> Base:
    return load_base(base_folder)
