"""Arguments that commands over experiments share."""

from __future__ import annotations

from oft.errors import UserError


def parse_names(text: str) -> list[str]:
    """Return names that commas part, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def parse_seeds(text: str) -> list[int]:
    """Return seeds that commas part, each once.

    Raises:
        UserError: there is none, or one is no whole number of 0 or more.
    """
    found = parse_names(text)
    if not found or not all(one.isascii() and one.isdecimal() for one in found):
        raise UserError(f"--seeds {text!r} must be whole numbers, 0 or more, with commas, such as 0,1,2")
    return list(map(int, found))
