"""Means of adapters on the same draws, and how often their intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.paired import MeanFigure, of_whole_runs, over_seeds, paired_means
from experiments.tidy import Row, to_table
from oft.evaluation.class_pixels import mean_iou
from oft.evaluation.intervals import (
    Figure,
    Interval,
    bootstrap_interval,
    difference_of,
    mean_interval,
    mean_of,
    pooled,
)


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


def _seeds_of(*models: np.ndarray) -> dict[str, Figure]:
    """Return one seed's figures: the mean of each model's scores."""
    return {name: mean_of(scores) for name, scores in zip(("first", "second", "third"), models, strict=False)}


def _averaged(seeds: list[dict[str, Figure]], number: int = 40, num_resamples: int = 999) -> list[MeanFigure]:
    numbers = [number] * len(seeds)
    return list(over_seeds(seeds, numbers, shared_conditions=False, num_resamples=num_resamples).values())


def _interval(figure: MeanFigure, num_compared: int = 1) -> Interval:
    interval = figure.interval(num_compared=num_compared)
    assert interval is not None
    return interval


def _width(figure: MeanFigure) -> float:
    return _interval(figure).high - _interval(figure).low


def test_pairing_takes_out_what_makes_conditions_hard() -> None:
    draw = np.random.default_rng(2)
    hard = draw.normal(0.5, 0.15, 40)
    first, second = _averaged([_seeds_of(*(hard + draw.normal(0, 0.05, (2, 40))))])
    assert _width(second - first) < _width(second) / 2


def test_with_one_seed_the_interval_is_nearly_that_of_the_bootstrap_alone() -> None:
    """Scores that are normal have no skew for BCa to correct."""
    seed = _seeds_of(*np.random.default_rng(9).normal(0.5, 0.1, (2, 40)))
    first, second = _averaged([seed], num_resamples=9999)
    alone = bootstrap_interval(difference_of(seed["second"], seed["first"]), 40, np.random.default_rng(7))
    found = _interval(second - first)
    assert tuple(found) == pytest.approx(tuple(alone), abs=0.1 * (alone.high - alone.low))


def test_a_shift_of_both_models_changes_no_difference_and_moves_each() -> None:
    scores = np.random.default_rng(3).normal(0.5, 0.15, (3, 2, 40))
    first, second = _averaged([_seeds_of(*pair) for pair in scores])
    moved_first, moved_second = _averaged([_seeds_of(*(pair + 0.25)) for pair in scores])
    assert tuple(_interval(moved_first)) == pytest.approx([end + 0.25 for end in _interval(first)])
    same, moved = second - first, moved_second - moved_first
    assert tuple(_interval(moved)) == pytest.approx(tuple(_interval(same)))
    assert moved.by_seed == pytest.approx(same.by_seed)


def test_equal_models_gain_nothing_and_surely_so() -> None:
    scores = np.random.default_rng(4).normal(0.5, 0.15, (2, 40))
    first, second = _averaged([_seeds_of(one, one) for one in scores])
    gain = second - first
    assert gain.interval() == (0, 0, 0)
    ratio = gain.ratio_to(first)
    assert ratio is not None and ratio.interval() == (0, 0, 0)


def test_a_ratio_is_that_of_the_means_and_none_where_the_denominator_may_be_zero() -> None:
    draw = np.random.default_rng(5)
    base, adapter, end = _averaged(
        [_seeds_of(*(draw.normal(mean, 0.05, 50) for mean in (0.2, 0.5, 0.8)))], 50
    )
    share = (adapter - base).ratio_to(end - base)
    assert share is not None
    assert share.value == pytest.approx((adapter.value - base.value) / (end.value - base.value))
    found = _interval(share)
    assert 0.4 < found.low < found.value < found.high < 0.6
    one, other, third = _averaged([_seeds_of(*draw.normal(0.5, 0.1, (3, 50)))], 50)
    assert third.ratio_to(one - other) is None
    assert one.ratio_to(one - one) is None


def test_a_ratio_s_interval_covers_the_truth_as_often_as_it_claims() -> None:
    """Two of three trainings' means, of a true ratio of a half; up to three standard errors."""
    draw = np.random.default_rng(3)
    worlds, covered = 150, 0
    for _ in range(worlds):
        hard = draw.normal(0, 0.05, (3, 1, 50))
        scores = (
            np.array([[0.2], [0.4]])
            + hard
            + draw.normal(0, 0.02, (3, 2, 1))
            + draw.normal(0, 0.05, (3, 2, 50))
        )
        first, second = _averaged([_seeds_of(*of_seed) for of_seed in scores], 50, num_resamples=499)
        ratio = first.ratio_to(second)
        assert ratio is not None
        covered += _interval(ratio).low <= 0.5 <= _interval(ratio).high
    assert covered / worlds >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / worlds)


def test_pixels_of_several_seeds_are_pooled_within_each() -> None:
    tables = np.random.default_rng(8).integers(1, 9, (2, 5, 4, 3)).astype(float)
    tables[..., 1:] += tables[..., :1]
    (figure,) = _averaged([{"first": pooled(mean_iou, table)} for table in tables], 5)
    assert figure.by_seed == pytest.approx([float(mean_iou(table.sum(axis=0))) for table in tables])


def test_the_same_seed_gives_the_same_draws_and_batches_are_no_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds = [_seeds_of(*np.random.default_rng(7).normal(size=(2, 40)))]
    whole = _averaged(seeds)[0].resampled
    np.testing.assert_array_equal(whole, _averaged(seeds)[0].resampled)
    monkeypatch.setattr("experiments.paired.BATCH_VALUES", 5000)
    np.testing.assert_allclose(_averaged(seeds)[0].resampled, whole)


@pytest.mark.parametrize(
    ("numbers", "shared", "message"), [([1], False, "two conditions"), ([3, 4], True, "as many in each seed")]
)
def test_too_few_or_unequal_conditions_are_refused(numbers: list[int], shared: bool, message: str) -> None:
    seeds = [_seeds_of(np.ones(number)) for number in numbers]
    with pytest.raises(ValueError, match=message):
        over_seeds(seeds, numbers, shared_conditions=shared)


@pytest.mark.parametrize("shared_conditions", [True, False])
@pytest.mark.parametrize("num_compared", [1, 6])
@pytest.mark.parametrize("luck", [1.0, 3.0, 30.0])
def test_three_seeds_rarely_find_a_difference_where_there_is_none(
    luck: float, num_compared: int, shared_conditions: bool
) -> None:
    """Of all comparisons none is real; trainings vary ``luck`` times as much as the mean over conditions.

    The bootstrap's variance is stood for by what it estimates, so that hundreds of worlds can be tried.
    """
    rng = np.random.default_rng(0)
    num_worlds, num_conditions = 1000, 96
    wrong = 0
    for _ in range(num_worlds):
        figures = []
        for _ in range(num_compared):
            trainings = luck * rng.normal(size=3) / num_conditions**0.5
            conditions = rng.normal(size=(1 if shared_conditions else 3, num_conditions))
            by_seed = trainings + conditions.mean(axis=1)
            error = (conditions.var(axis=1).mean() / conditions.size) ** 0.5
            figures.append(MeanFigure(by_seed, error * np.array([-1.0, 1.0]), conditions.size))
        wrong += any(_interval(figure, num_compared).excludes_zero for figure in figures)
    standard_error = (0.05 * 0.95 / num_worlds) ** 0.5
    assert wrong / num_worlds <= 0.05 + 2 * standard_error
    if luck == 30:  # then Student's interval of three trainings is all there is, and it keeps its level
        assert wrong / num_worlds >= 0.05 - 3 * standard_error
