"""The best of some learning rates, found between them, and the table that shows it."""

from __future__ import annotations

import math

import pytest

from experiments.rates.sweep import best_rate, markdown_table

RATES = (1e-3, 2e-3, 4e-3, 8e-3)


@pytest.mark.parametrize("best", [1.9e-3, 2e-3, 2.7e-3, 4.5e-3])
def test_the_lowest_point_of_a_parabola_is_found_between_the_rates(best: float) -> None:
    scores = {rate: 0.1 + 0.02 * math.log(rate / best) ** 2 for rate in RATES}
    assert best_rate(scores) == pytest.approx(best)


@pytest.mark.parametrize("best", [2e-4, 3e-2])
def test_a_best_rate_outside_is_not_guessed(best: float) -> None:
    assert best_rate({rate: math.log(rate / best) ** 2 for rate in RATES}) is None


def test_the_table_has_a_row_for_each_number_of_blocks() -> None:
    near = {rate: 0.1 + math.log(rate / 2e-3) ** 2 for rate in RATES}
    far = {rate: 0.2 + math.log(rate / 1e-1) ** 2 for rate in RATES}
    table = markdown_table(
        {"none": {1: near, 16: far}, "block_size": {1: near, 16: near}},
        {"none": {1: 64.2, 16: 4.0}, "block_size": {1: 16.0, 16: 16.4}},
    )
    assert table.splitlines()[2:] == [
        "| 1 | 2.0e-03 | 0.1000 | 64 | 2.0e-03 | 0.1000 | 16 |",
        "| 16 | outside | 6.5793 | 4 | 2.0e-03 | 0.1000 | 16 |",
    ]
