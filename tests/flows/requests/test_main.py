"""The command line of requests: what it is given is read, or refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.requests.__main__ import _parse_setting, _read_parameters
from oft.errors import UserError

NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("text", ["{", NESTED, f'{{"seed": {"9" * 5000}}}'], ids=["cut", "nested", "huge"])
def test_a_file_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "request.json").write_text(text)
    with pytest.raises(UserError, match=r"request\.json is no JSON file of parameters: "):
        _read_parameters(tmp_path / "request.json")


def test_a_setting_is_json_or_a_text() -> None:
    assert _parse_setting("seed=7") == ("seed", 7)
    assert _parse_setting("profile=smoke") == ("profile", "smoke")
    assert _parse_setting(f"seed={NESTED}") == ("seed", NESTED)
