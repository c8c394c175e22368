from __future__ import annotations

import pytest

from flows.requests.site import HOURS, read_site
from oft.errors import ParamsError


@pytest.mark.parametrize(("text", "hours"), [(None, 24.0), ("", 24.0), ("0.5", 0.5), ("100", 100.0)])
def test_a_training_may_take_a_day_unless_the_operator_says_otherwise(
    text: str | None, hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(HOURS, raising=False)
    if text is not None:
        monkeypatch.setenv(HOURS, text)
    assert read_site().max_hours == hours


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "a day"])
def test_hours_that_are_no_limit_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOURS, text)
    with pytest.raises(ParamsError, match=f"{HOURS} must be a number of hours above 0, such as 24"):
        read_site()
