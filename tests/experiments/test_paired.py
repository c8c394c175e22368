"""Means of adapters on the same draws."""

from __future__ import annotations

import pytest

from experiments.paired import paired_means
from experiments.tidy import Row, to_table


def _row(adapter: str, seed: int, condition: str, value: float, setting: str = "") -> Row:
    return Row("cdr", "equation", adapter, setting, seed, condition, "error", value)


def test_adapters_are_paired_by_seed_and_condition() -> None:
    """A difference that is the same everywhere has no interval, however much conditions differ."""
    hard = {
        (seed, condition): 10.0 * seed + place for seed in (0, 1) for place, condition in enumerate("abc")
    }
    rows = [
        _row(adapter, *place, value + better)
        for place, value in hard.items()
        for adapter, better in (("oft", 0.0), ("lora", 1.0))
    ]

    found = paired_means(to_table([*rows, _row("oft", 0, "a", 99.0, "step=1")]), "error")

    assert found["oft"].value == pytest.approx(6.0)
    assert tuple((found["lora"] - found["oft"]).interval()) == pytest.approx((1.0, 1.0, 1.0))
    assert found["oft"].interval().low < 6 < found["oft"].interval().high


def test_only_conditions_that_all_adapters_have_count() -> None:
    """A condition that one adapter lacks under one seed is left out of all."""
    rows = [_row(adapter, 0, condition, 1.0) for adapter in ("oft", "lora") for condition in "ab"]
    found = paired_means(to_table([*rows, _row("oft", 0, "c", 100.0)]), "error")

    assert found["oft"].value == found["lora"].value == 1.0
    assert paired_means(to_table(rows), "another") == {}
