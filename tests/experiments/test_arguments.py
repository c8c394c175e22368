"""Seeds as commands take them."""

from __future__ import annotations

import pytest

from experiments.arguments import parse_seeds
from oft.errors import UserError


def test_seeds_are_numbers_with_commas() -> None:
    assert parse_seeds("2, 0,2") == [2, 0]
    for text in ("0,-1", "one", "", "1.5", "\u0661"):
        with pytest.raises(UserError, match=r"--seeds .* must be whole numbers"):
            parse_seeds(text)
