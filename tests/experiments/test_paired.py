"""Means of adapters on the same draws, and how often their intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.paired import MeanFigure, of_whole_runs, over_seeds, paired_means
from experiments.tidy import Row, to_table
from oft.evaluation.intervals import mean_interval, mean_of


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
    assert (found["lora"] - found["oft"]).interval() == pytest.approx((1.0, 1.0, 1.0))
    own = found["oft"].interval()
    assert own is not None
    assert own.low < 6 < own.high


def test_only_conditions_that_all_adapters_have_count() -> None:
    """A condition that one adapter lacks under one seed is left out of all."""
    rows = [_row(adapter, 0, condition, 1.0) for adapter in ("oft", "lora") for condition in "ab"]
    found = paired_means(to_table([*rows, _row("oft", 0, "c", 100.0)]), "error")

    assert found["oft"].value == found["lora"].value == 1.0
    assert paired_means(to_table(rows), "another") == {}


def test_numbers_of_whole_runs_have_student_s_interval() -> None:
    values = [0.1, 0.4, 0.2]
    assert of_whole_runs(values).interval() == pytest.approx(mean_interval(np.array(values)))
    assert of_whole_runs([0.1]).interval() is None


def test_over_the_conditions_of_one_training_the_interval_is_student_s() -> None:
    """The bootstrap's variance, freed of its bias, is that of the mean; four conditions count as four."""
    scores = np.random.default_rng(1).normal(size=4)
    (figure,) = over_seeds([{"a": mean_of(scores)}], [4], shared_conditions=True).values()

    assert figure.interval() == pytest.approx(mean_interval(scores), rel=0.03)


@pytest.mark.parametrize("shared_conditions", [True, False])
def test_one_draw_of_conditions_serves_the_seeds_that_share_them(shared_conditions: bool) -> None:
    """The mean of three equal seeds is as sure as one of them; of seeds with others it is surer."""
    scores = np.random.default_rng(1).normal(size=50)
    one, three = (
        over_seeds([{"a": mean_of(scores)}] * num, [50] * num, shared_conditions=shared_conditions)["a"]
        for num in (1, 3)
    )
    ratio = three.resampled.std() / one.resampled.std()
    assert ratio == pytest.approx(1.0 if shared_conditions else 3**-0.5, rel=0.03)
    assert three.num_conditions == (50 if shared_conditions else 150)


@pytest.mark.parametrize("shared_conditions", [True, False])
@pytest.mark.parametrize(("num_compared", "at_most"), [(1, 0.065), (6, 0.075)])
def test_three_seeds_rarely_find_a_difference_where_there_is_none(
    shared_conditions: bool, num_compared: int, at_most: float
) -> None:
    """Trainings differ by as much as their conditions make them differ; of all comparisons none is real.

    The bootstrap's variance is stood for by what it estimates, so that thousands of worlds can be tried.
    """
    rng = np.random.default_rng(0)
    num_worlds, num_conditions = 2000, 96
    wrong = 0
    for _ in range(num_worlds):
        figures = []
        for _ in range(num_compared):
            trainings = rng.normal(size=3) / num_conditions**0.5
            shape = (1, num_conditions) if shared_conditions else (3, num_conditions)
            conditions = rng.normal(size=shape)
            by_seed = trainings + conditions.mean(axis=1)
            error = (conditions.var(axis=1).mean() / conditions.size) ** 0.5
            total = conditions.size
            figures.append(MeanFigure(by_seed, error * np.array([-1.0, 1.0]), total))
        intervals = [figure.interval(num_compared=num_compared) for figure in figures]
        wrong += any(interval is not None and interval.excludes_zero for interval in intervals)
    assert wrong / num_worlds <= at_most
