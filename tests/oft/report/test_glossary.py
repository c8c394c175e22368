from __future__ import annotations

from oft.conditions import registry
from oft.report.glossary import (
    ADAPTER_MEANINGS,
    ADAPTERS,
    CONDITIONS,
    FALLBACK_CONDITION,
    adapter_order,
    adapter_title,
)


def test_every_condition_has_words() -> None:
    assert set(CONDITIONS) == {*registry.CONDITIONS, "subject"}
    for name in registry.CONDITIONS:
        assert CONDITIONS[name].title != FALLBACK_CONDITION.title
        assert CONDITIONS[name].explanation != FALLBACK_CONDITION.explanation


def test_adapters_stand_in_their_order_and_unknown_ones_last() -> None:
    assert set(ADAPTER_MEANINGS) == set(ADAPTERS)
    shown = sorted(["zebra", "lora", "none", "coft", "alpha", "oft"], key=adapter_order)
    assert shown == ["none", "oft", "coft", "lora", "alpha", "zebra"]
    assert adapter_title("zebra") == "zebra"
