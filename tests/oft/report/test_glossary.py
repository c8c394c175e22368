from __future__ import annotations

from oft.conditions import registry
from oft.report.glossary import (
    ADAPTER_MEANINGS,
    ADAPTERS,
    CONDITIONS,
    FALLBACK_CONDITION,
    MAIN_METRICS,
    METRICS,
    adapter_order,
    adapter_title,
)


def test_scores_are_explained() -> None:
    scores = {key: metric for key, metric in METRICS.items() if metric.group in ("score", "adapter")}
    assert all(metric.meaning.endswith(".") for metric in scores.values())


def test_every_condition_has_words() -> None:
    assert set(CONDITIONS) == {*registry.CONDITIONS, "subject"}
    for name in registry.CONDITIONS:
        assert CONDITIONS[name].title != FALLBACK_CONDITION.title
        assert CONDITIONS[name].explanation != FALLBACK_CONDITION.explanation


def test_main_metrics_are_known_and_have_a_direction() -> None:
    assert set(MAIN_METRICS) <= set(CONDITIONS)
    assert all(METRICS[key].better != "neither" for keys in MAIN_METRICS.values() for key in keys)


def test_adapters_stand_in_their_order_and_unknown_ones_last() -> None:
    assert set(ADAPTER_MEANINGS) == set(ADAPTERS)
    shown = sorted(["zebra", "lora", "none", "coft", "alpha", "oft"], key=adapter_order)
    assert shown == ["none", "oft", "coft", "lora", "alpha", "zebra"]
    assert adapter_title("zebra") == "zebra"
