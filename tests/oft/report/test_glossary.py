from __future__ import annotations

from typing import get_args

from oft.report.glossary import (
    ADAPTER_MEANINGS,
    ADAPTERS,
    CONDITIONS,
    adapter_order,
    adapter_title,
)
from oft.settings.section import ConditionName


def test_every_condition_has_words() -> None:
    assert set(CONDITIONS) == {*get_args(ConditionName), "subject"}


def test_adapters_stand_in_their_order_and_unknown_ones_last() -> None:
    assert set(ADAPTER_MEANINGS) == set(ADAPTERS)
    shown = sorted(["zebra", "lora", "none", "coft", "alpha", "oft"], key=adapter_order)
    assert shown == ["none", "oft", "coft", "lora", "alpha", "zebra"]
    assert adapter_title("zebra") == "zebra"
