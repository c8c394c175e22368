from __future__ import annotations

from typing import Any

from oft.conditions import registry
from oft.params import parse_params
from oft.report.glossary import CONDITIONS, FALLBACK_CONDITION, adapter_words


def test_every_condition_has_words() -> None:
    assert set(CONDITIONS) == {*registry.CONDITIONS, "subject"}
    for name in registry.CONDITIONS:
        assert CONDITIONS[name].title != FALLBACK_CONDITION.title
        assert CONDITIONS[name].explanation != FALLBACK_CONDITION.explanation


def test_adapters_have_their_words_from_params_and_stand_in_its_order(values: dict[str, Any]) -> None:
    values["adapters"] = {
        "zebra": {"method": "hint"},
        **values["adapters"],
        "alpha": {"method": "oft", "num_blocks": 2, "coft": True, "title": "Tight"},
    }
    words = adapter_words(parse_params(values))
    assert list(words) == ["none", "zebra", "oft", "coft", "hint", "alpha"]
    assert [entry.place for entry in words.values()] == list(range(6))
    assert [entry.title for entry in words.values()][1:3] == ["zebra", "OFT"]
    assert words["alpha"].title == "Tight" and words["alpha"].meaning == words["coft"].meaning
    assert words["zebra"].meaning == words["hint"].meaning != words["none"].meaning
