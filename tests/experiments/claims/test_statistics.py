"""Intervals over conditions and seeds: those of a claim hold at once as often as they say."""

from __future__ import annotations

import numpy as np

from experiments.claims.statistics import Arm, simultaneous
from oft.evaluation.intervals import SeedsFigure
from oft.evaluation.metric import Metric
from oft.evaluation.registry import find_metric
from tests.experiments.claims.conftest import SEEDS, MakeResults

OFT, LORA = Arm("oft"), Arm("lora")


def test_simultaneous_intervals_cover_all_figures_as_often_as_they_say() -> None:
    """Six means of normal numbers: all six intervals hold in about 95 of 100 worlds, single ones do not."""
    rng = np.random.default_rng(0)
    num_worlds, num_figures, num_values, num_draws = 300, 6, 60, 600
    held = alone = 0
    for _ in range(num_worlds):
        values = rng.normal(size=(num_figures, num_values))
        draws = rng.integers(num_values, size=(num_draws, num_values))
        figures = [SeedsFigure(float(row.mean()), row, row[draws].mean(axis=1)) for row in values]
        held += all(one.low <= 0 <= one.high for one in simultaneous(figures))
        alone += all(one.low <= 0 <= one.high for one in (figure.interval() for figure in figures))

    assert 0.9 <= held / num_worlds <= 0.98
    assert alone / num_worlds < 0.85


def test_a_figure_that_never_varies_is_a_point() -> None:
    """And leaves the others' intervals as they are."""
    point = SeedsFigure(1.0, np.ones(3), np.ones(100))
    varying = SeedsFigure(0.0, np.zeros(3), np.random.default_rng(0).normal(size=100))

    one, two = simultaneous([point, varying])

    assert (one.low, one.high) == (1.0, 1.0)
    assert simultaneous([varying]) == [two]
    assert simultaneous([]) == []


def test_arms_are_compared_on_the_same_draws(results: MakeResults) -> None:
    """A gain far below how much conditions differ is seen, since every condition is drawn for both."""
    found = results({OFT: 0.02, LORA: 0.0}).paired("canny_coco", _metric("canny_f1"), [OFT, LORA])

    assert found is not None
    assert found.seeds == SEEDS
    assert found.num_conditions == 120
    difference = (found.figures[OFT] - found.figures[LORA]).interval()
    assert 0.012 < difference.low < 0.02 < difference.high < 0.028
    own = found.figures[OFT].interval()
    assert own.high - own.low > 2 * (difference.high - difference.low)


def test_only_seeds_that_all_arms_have_count(results: MakeResults) -> None:
    """An arm without any seed of the others gives nothing to compare."""
    made = results({OFT: 0.0}, seeds=(0, 1))

    assert made.seeds_of("canny_coco", [OFT]) == (0, 1)
    assert made.paired("canny_coco", _metric("canny_f1"), [OFT, LORA]) is None


def _metric(name: str) -> Metric:
    found = find_metric(name)
    assert found is not None
    return found
