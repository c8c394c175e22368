from __future__ import annotations

import pytest

from experiments.claims.findings import Estimate
from experiments.claims.page.scales import Bar, Scale, lay, round_numbers, span, span_around_zero, ticks


def test_an_axis_just_holds_its_figures() -> None:
    scale = span([Estimate(2.0, 1.0, 4.0), Estimate(3.0)])
    assert scale == Scale(1.0, 4.0)
    assert scale is not None and scale.place(1.0) == 0 and scale.place(4.0) == 100
    assert span([Estimate(2.0)]) is None and span([]) is None
    assert scale.holds(Estimate(2.0, 1.0, 4.0)) and not scale.holds(Estimate(2.0, 0.9, 3.0))


def test_an_interval_s_ends_and_figure_are_where_the_axis_has_them() -> None:
    assert lay(Estimate(2.0, 1.0, 4.0), Scale(0.0, 10.0)) == Bar(start=10, width=30, at=20)
    assert lay(Estimate(2.0), Scale(0.0, 10.0)) == Bar(start=20, width=0, at=20)


@pytest.mark.parametrize(
    "estimate",
    [Estimate(0.03, 0.01, 0.05), Estimate(-3.0, -5.0, -1.0), Estimate(0.0), Estimate(7e-6, -1e-6, 2e-5)],
)
def test_an_axis_of_differences_has_zero_and_round_numbers_in_it(estimate: Estimate) -> None:
    scale = span_around_zero([estimate])
    assert scale.low < 0 < scale.high
    labels = ticks(scale)
    assert len(labels) == len(dict(labels)) <= 8
    assert any(float(label.replace("−", "-")) == 0 and place == scale.place(0) for place, label in labels)
    for place, label in labels:
        assert scale.place(float(label.replace("−", "-"))) == pytest.approx(place)


@pytest.mark.parametrize(
    ("low", "high", "log", "numbers"),
    [
        (0.0059, 0.686, False, [0, 0.2, 0.4, 0.6, 0.8]),
        (44.84, 344.3, False, [0, 100, 200, 300, 400]),
        (-3e-4, 7e-4, False, [-5e-4, 0, 5e-4, 1e-3]),
        (9000, 130000, True, [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6]),
        (230292, 587432, True, [2e5, 3e5, 4e5, 5e5, 6e5]),
        (3.0, 3.0, False, [3.0]),
        (3.0, 3.0, True, [3.0]),
    ],
)
def test_labels_of_what_was_measured_are_round(
    low: float, high: float, log: bool, numbers: list[float]
) -> None:
    assert round_numbers(low, high, log=log) == numbers
