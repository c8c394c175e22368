"""What settings that break a rule are refused with."""

from __future__ import annotations

from typing import Any

import pytest

from oft.errors import ParamsError
from oft.params import parse_params


def faults(values: dict[str, Any]) -> str:
    """Return the message that refuses these settings."""
    with pytest.raises(ParamsError) as raised:
        parse_params(values)
    return str(raised.value)
