from __future__ import annotations

from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML

from flows.yaml_text import dump_yaml

# What PyYAML alone, or DVC alone, takes for something else than text.
TEXTS = [
    "1e5", ".5e3", "0o17", "1.e5", "017", "0x1f", "1_000", "12:30", "+1", "-1e-5", "1e5 robots", "2026-01-01",
    "yes", "on", "null", "~", ".inf", "", "sks", "a: b", "- a", "#a", "'", '"', "१e५", "12e45678901234567890",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_text_to_both_readers(text: str) -> None:
    values: dict[str, Any] = {text: text, "list": [text, {"key": text}]}
    dumped = dump_yaml(values)
    assert yaml.safe_load(dumped) == values
    assert YAML(typ="safe", pure=True).load(dumped) == values
    assert YAML(typ="safe").load(dumped) == values


def test_numbers_and_order_stay() -> None:
    values = {"b": 1e-05, "a": [1, None, True, 0.5], "c": {"x": 10**20}}
    for read in (yaml.safe_load, YAML(typ="safe").load):
        read_back = read(dump_yaml(values))
        assert read_back == values and list(read_back) == list(values)
