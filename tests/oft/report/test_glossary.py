from __future__ import annotations

from typing import Any

from oft.conditions import registry
from oft.params import parse_params
from oft.report.glossary import CONDITIONS, FALLBACK_CONDITION, adapter_words, terms


def test_every_condition_has_words() -> None:
    assert set(CONDITIONS) == {*registry.CONDITIONS, "subject", "style"}
    for name in registry.CONDITIONS:
        assert CONDITIONS[name].title != FALLBACK_CONDITION.title
        assert CONDITIONS[name].explanation != FALLBACK_CONDITION.explanation


def test_the_miniature_s_terms_are_explained_where_it_is_used(values: dict[str, Any]) -> None:
    assert {"Miniature world", "Miniature judges"} <= set(terms(parse_params(values)))
    values["evaluate"]["judges"] = "data/judges/sd15"
    for dataset in values["datasets"].values():
        dataset["acquire"]["source"] = "mine"
    assert not {"Miniature world", "Miniature judges"} & set(terms(parse_params(values)))


def test_adapters_have_their_words_from_params_and_stand_in_its_order(values: dict[str, Any]) -> None:
    values["adapters"] = {
        "zebra": {"method": "hint"},
        **{name: values["adapters"][name] for name in ("oft", "coft", "hint")},
        "alpha": {"method": "oft", "num_blocks": 2, "coft": True, "title": "Tight"},
    }
    words = adapter_words(parse_params(values))
    assert list(words) == ["none", "zebra", "oft", "coft", "hint", "alpha"]
    assert [entry.place for entry in words.values()] == list(range(6))
    assert [entry.title for entry in words.values()][1:3] == ["zebra", "OFT"]
    assert words["alpha"].title == "Tight" and words["alpha"].meaning == words["coft"].meaning
    assert [name for name, entry in words.items() if entry.is_hint_alone] == ["zebra", "hint"]
    assert words["zebra"].meaning == words["hint"].meaning != words["none"].meaning
