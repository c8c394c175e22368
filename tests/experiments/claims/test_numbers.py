from __future__ import annotations

import pytest

from experiments.claims.findings import Contrast, Estimate
from experiments.claims.numbers import (
    choose_decimals,
    choose_digits,
    decimals_of,
    format_estimate,
    format_number,
    format_setting,
)


@pytest.mark.parametrize(
    ("estimates", "decimals"),
    [
        ([Estimate(0.5, 0.49, 0.52)], 3),
        ([Estimate(0.5, 0.2, 0.8)], 2),
        ([Estimate(310, 306, 315)], 1),
        ([Estimate(310, 200, 400)], 0),
        ([Estimate(3.1e-7, 3.0e-7, 3.2e-7)], 6),
        ([Estimate(345600), Estimate(12)], 0),
        ([Estimate(0.25)], 3),
        ([Estimate(31.25), Estimate(2.5)], 1),
        ([Estimate(0.0000412)], 6),
        ([Estimate(1.0, 1.0, 1.0)], 0),
        ([], 0),
    ],
)
def test_an_interval_s_width_shows_two_digits(estimates: list[Estimate], decimals: int) -> None:
    assert choose_decimals(estimates) == decimals


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "text"),
    [
        (0.0114, 3, True, "+0.011"),
        (-0.0114, 3, False, "−0.011"),
        (-0.0001, 3, True, "0.000"),
        (345600.0, 0, False, "345,600"),
        (0.0, 6, True, "0.000000"),
    ],
)
def test_figures_read_as_readers_write_them(value: float, decimals: int, signed: bool, text: str) -> None:
    assert format_number(value, decimals, signed=signed) == text


def test_an_estimate_has_its_interval_beside_it() -> None:
    assert format_estimate(Estimate(0.011, -0.004, 0.018), 3, signed=True) == "+0.011 [−0.004, 0.018]"
    assert format_estimate(Estimate(0.011), 3) == "0.011"


def test_what_would_read_as_nothing_is_written_by_its_power_of_ten() -> None:
    """Where its interval shows at these decimals, a figure is about 0 and reads so."""
    assert format_estimate(Estimate(3.1e-7), 3) == "3.1 × 10⁻⁷"
    assert format_estimate(Estimate(-3.1e-7), 3, signed=True) == "−3.1 × 10⁻⁷"
    assert format_estimate(Estimate(4e-8, 3e-8, 5e-8), 3) == "4.0 × 10⁻⁸ [3.0 × 10⁻⁸, 5.0 × 10⁻⁸]"
    assert format_estimate(Estimate(4e-8, -0.1, 0.1), 3) == "0.000 [−0.100, 0.100]"
    assert format_estimate(Estimate(0.0), 3) == "0.000"


def test_an_interval_beside_zero_does_not_read_as_if_it_reached_it() -> None:
    def contrast(low: float, high: float) -> Contrast:
        estimate = Estimate((low + high) / 2, low, high)
        return Contrast("t", "T", "m", "M", "a − b", estimate, "above", "holds", True, 10, 3)

    assert decimals_of([contrast(0.0002, 0.055)]) == {"m": 4}
    assert decimals_of([contrast(-0.0002, 0.055)]) == {"m": 3}


@pytest.mark.parametrize(
    ("value", "text"),
    [(6e-5, "6 × 10⁻⁵"), (0.002, "0.002"), (20000.0, "20,000"), (0.0, "0"), (1.5e7, "1.5 × 10⁷")],
)
def test_settings_keep_the_digits_they_were_given(value: float, text: str) -> None:
    assert format_setting(value) == text


@pytest.mark.parametrize(
    ("points", "texts"),
    [
        ([67.73535938, 344.26276050], ["67.74", "344.3"]),
        ([0.039193371, 0.68552307], ["0.03919", "0.6855"]),
        ([12345.678, 20000.0], ["12,350", "20,000"]),
        ([1.23456789e-6, 0.5], ["1.235 × 10⁻⁶", "0.5"]),
        ([6e-5, 2e-3, 0.00125], ["6 × 10⁻⁵", "0.002", "0.00125"]),
        ([70, 275, 20000], ["70", "275", "20,000"]),
        ([230292, 1281312], ["230,292", "1,281,312"]),
        ([12.5, 100], ["12.5", "100"]),
        ([], []),
    ],
)
def test_measured_points_have_four_digits_settings_and_counts_all(
    points: list[float], texts: list[str]
) -> None:
    digits = choose_digits(points)
    assert [format_setting(point, digits) for point in points] == texts
