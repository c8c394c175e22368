"""Laws of the bootstrap: pairing, widths as theory has them, intervals that hold as often as they claim."""

from __future__ import annotations

import numpy as np
import pytest

from oft.evaluation.class_pixels import mean_iou
from oft.evaluation.intervals import (
    Figure,
    Interval,
    SeedsFigure,
    average_by_condition,
    bootstrap_interval,
    closed_share,
    constant,
    difference_of,
    mean_interval,
    mean_of,
    pair_models,
    pooled,
    resample_seeds,
)

ROUNDS = 200

Runs = list[dict[str, Figure]]


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_pictures_are_paired_by_key_and_index_and_those_of_one_condition_averaged() -> None:
    first = {("b", 0): 1.0, ("b", 1): 3.0, ("a", 0): 5.0, ("c", 0): 9.0}
    second = {("a", 0): 0.0, ("b", 1): 2.0, ("b", 0): 4.0}
    keys, values = average_by_condition([first, second])
    assert keys == ["a", "b"]
    assert [row.tolist() for row in values] == [[5, 2], [0, 3]]
    assert average_by_condition([first, {}])[0] == average_by_condition([])[0] == []


def test_counts_are_averaged_as_scores_are() -> None:
    counts = {("a", index): np.full((3, 3), index) for index in (0, 1)}
    _, (values,) = average_by_condition([counts])
    np.testing.assert_array_equal(values, np.full((1, 3, 3), 0.5))


def test_an_interval_is_seeded_and_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.2, 400)
    found, again = (bootstrap_interval(mean_of(values), 400, rng()) for _ in range(2))
    assert found == again
    half = 1.96 * values.std() / 20
    expected = (values.mean(), values.mean() - half, values.mean() + half)
    assert tuple(found) == pytest.approx(expected, abs=0.1 * half)
    narrower = bootstrap_interval(mean_of(values), 400, rng(), level=0.5)
    assert found.low < narrower.low < narrower.high < found.high


def test_equal_values_are_a_point() -> None:
    assert bootstrap_interval(mean_of(np.full(9, 0.25)), 9, rng()) == (0.25, 0.25, 0.25)
    found = bootstrap_interval(mean_of(np.eye(1, 40)[0]), 40, rng())
    assert 0 <= found.low < 1 / 40 < found.high


def test_what_varies_for_all_models_alike_does_not_widen_a_paired_interval() -> None:
    hard = np.random.default_rng(1).normal(0.5, 0.2, 60)
    luck = np.random.default_rng(2).normal(0, 0.01, 60)
    alone = bootstrap_interval(mean_of(hard), 60, rng())
    paired = bootstrap_interval(difference_of(mean_of(hard + luck + 0.05), mean_of(hard)), 60, rng())
    assert paired.excludes_zero and paired.high - paired.low < (alone.high - alone.low) / 10


def test_a_share_is_zero_at_the_start_and_one_at_the_end_whichever_direction_is_better() -> None:
    base, ceiling = (mean_of(np.random.default_rng(seed).uniform(seed, seed + 0.5, 30)) for seed in (0, 1))
    assert bootstrap_interval(closed_share(base, base, ceiling), 30, rng()) == (0, 0, 0)
    assert bootstrap_interval(closed_share(ceiling, base, ceiling), 30, rng()) == (1, 1, 1)
    assert bootstrap_interval(closed_share(base, ceiling, base), 30, rng()) == (1, 1, 1)


def test_a_share_s_interval_covers_the_truth_as_often_as_it_claims() -> None:
    """Three figures of one true share of a half, on the same conditions; up to three standard errors."""
    draw = np.random.default_rng(3)
    trials, covered = 150, 0
    for _ in range(trials):
        hard = draw.normal(0.3, 0.1, 50)
        base, adapter, ceiling = (hard + gain + draw.normal(0, 0.05, 50) for gain in (0, 0.2, 0.4))
        share = closed_share(mean_of(adapter), mean_of(base), mean_of(ceiling))
        found = bootstrap_interval(share, 50, draw, num_resamples=999)
        covered += found.low <= 0.5 <= found.high
    allowed = 3 * np.sqrt(0.95 * 0.05 / trials)
    assert 0.95 - allowed - 0.01 <= covered / trials


def test_a_pooled_figure_is_that_of_the_pixels_drawn_each_as_often() -> None:
    pixels = np.random.default_rng(4).integers(1, 9, (5, 4, 3)).astype(float)
    pixels[..., 1:] += pixels[..., :1]  # found pixels are true and predicted ones
    counts = np.array([[1, 1, 1, 1, 1], [2, 0, 0, 3, 0]])
    expected = [float(mean_iou(total)) for total in (pixels.sum(axis=0), 2 * pixels[0] + 3 * pixels[3])]
    assert pooled(mean_iou, pixels)(counts) == pytest.approx(expected)
    assert bootstrap_interval(pooled(mean_iou, pixels), 5, rng()).value == pytest.approx(expected[0])


def test_where_bca_is_not_defined_the_percentiles_stand() -> None:
    """All resamples but few lie above the figure over all conditions: BCa's bias is infinite."""

    def figure(counts: np.ndarray) -> np.ndarray:
        return (counts > 1).sum(axis=1).astype(float)  # 0 over all conditions, never in a resample

    found = bootstrap_interval(figure, 30, rng(), num_resamples=200)
    assert found.value == 0 and 0 < found.low < found.high


def test_an_interval_excludes_zero_on_either_side_alone() -> None:
    assert Interval(2, 1, 3).excludes_zero and Interval(-2, -3, -1).excludes_zero
    assert not Interval(0.1, -1, 1).excludes_zero and not Interval(1, 0, 2).excludes_zero


def test_a_constant_is_the_same_under_every_draw() -> None:
    assert bootstrap_interval(constant(0.9), 5, rng()) == (0.9, 0.9, 0.9)


def test_models_are_paired_on_the_pictures_that_all_have() -> None:
    first = {("a", 0): 1.0, ("b", 0): 3.0, ("c", 0): 9.0}
    keys, figures = pair_models({"first": first, "second": {("b", 0): 5.0, ("a", 0): 0.0}})
    assert keys == ["a", "b"]
    draws = np.array([[1, 1], [0, 2]])
    assert figures["first"](draws).tolist() == [2, 3] and figures["second"](draws).tolist() == [2.5, 5]


def test_models_of_pixels_may_have_any_classes_and_a_formula_may_leave_out_the_first() -> None:
    pixels = {
        "first": {("a", 0): {7: [1, 2, 1]}},
        "second": {("a", 0): {0: [9, 9, 9], 3: [0, 2, 1], 7: [4, 4, 4]}},
    }
    _, figures = pair_models(pixels, lambda counts: mean_iou(counts[..., 1:, :]))
    once = np.ones((1, 1), np.int64)
    assert figures["first"](once) == pytest.approx([1 / 2])
    assert figures["second"](once) == pytest.approx([(0 + 1) / 2])


def seeds_of(*models: np.ndarray) -> dict[str, Figure]:
    """Return one seed's figures: the mean of each model's scores."""
    return {name: mean_of(scores) for name, scores in zip(("first", "second", "third"), models, strict=False)}


def two_models(draw: np.random.Generator, gain: float, num_seeds: int, luck: float = 0.0) -> Runs:
    """Two models on forty conditions a seed; ``luck`` is how far a seed's training moves the gain."""
    runs = []
    for _ in range(num_seeds):
        hard = draw.normal(0.5, 0.15, 40)
        first, second = hard + draw.normal(0, 0.05, (2, 40))
        runs.append(seeds_of(first, second + gain + draw.normal(0, luck)))
    return runs


def resampled(
    runs: Runs, number: int = 40, *, shared: bool = False, num_resamples: int = 999
) -> list[SeedsFigure]:
    numbers = [number] * len(runs)
    found = resample_seeds(runs, numbers, rng(), shared_conditions=shared, num_resamples=num_resamples)
    return list(found.values())


def width(interval: Interval) -> float:
    return interval.high - interval.low


def coverage(num_seeds: int, luck: float) -> float:
    draw = np.random.default_rng(1)
    held = 0
    for _ in range(ROUNDS):
        first, second = resampled(two_models(draw, 0.04, num_seeds, luck), num_resamples=499)
        _, low, high = (second - first).interval()
        held += low <= 0.04 <= high
    return held / ROUNDS


def test_with_one_seed_a_known_gain_is_covered_at_the_level() -> None:
    error = np.sqrt(0.95 * 0.05 / ROUNDS)
    assert coverage(1, 0.0) == pytest.approx(0.95, abs=3 * error)


def test_with_seeds_that_are_alike_the_interval_is_on_the_wide_side() -> None:
    assert coverage(3, 0.0) >= 0.95


def test_with_seeds_as_different_as_their_conditions_make_them_it_keeps_its_level() -> None:
    """The luck of a training moves its gain as much as the draw of its forty conditions does."""
    luck = np.hypot(0.05, 0.05) / np.sqrt(40)
    assert coverage(3, luck) >= 0.95 - 0.05


def test_over_seeds_too_pairing_takes_out_what_makes_conditions_hard() -> None:
    first, second = resampled(two_models(np.random.default_rng(2), 0.04, 1))
    assert width((second - first).interval()) < width(second.interval()) / 2


def test_with_one_seed_the_interval_is_nearly_that_of_one_seed_alone() -> None:
    """Scores that are normal have no skew for BCa to correct."""
    (run,) = two_models(np.random.default_rng(9), 0.04, 1)
    first, second = resampled([run], num_resamples=9999)
    alone = bootstrap_interval(difference_of(run["second"], run["first"]), 40, rng())
    assert tuple((second - first).interval()) == pytest.approx(tuple(alone), abs=0.1 * width(alone))


def test_a_shift_of_both_models_changes_no_difference_and_moves_each() -> None:
    draw = np.random.default_rng(3)
    scores = [draw.normal(0.5, 0.15, (2, 40)) for _ in range(3)]
    first, second = resampled([seeds_of(*pair) for pair in scores])
    moved_first, moved_second = resampled([seeds_of(*(pair + 0.25)) for pair in scores])
    assert tuple(moved_first.interval()) == pytest.approx([end + 0.25 for end in first.interval()])
    same, moved = second - first, moved_second - moved_first
    assert tuple(moved.interval()) == pytest.approx(tuple(same.interval()))
    assert moved.by_seed == pytest.approx(same.by_seed)


def test_equal_models_gain_nothing_and_surely_so() -> None:
    scores = np.random.default_rng(4).normal(0.5, 0.15, (2, 40))
    first, second = resampled([seeds_of(one, one) for one in scores])
    gain = second - first
    assert gain.interval() == (0, 0, 0)
    assert gain.ratio_to(first) is not None


def test_a_ratio_is_that_of_the_means_and_none_where_the_denominator_may_be_zero() -> None:
    draw = np.random.default_rng(5)
    base, adapter, end = resampled([seeds_of(*(draw.normal(mean, 0.05, 50) for mean in (0.2, 0.5, 0.8)))], 50)
    share = (adapter - base).ratio_to(end - base)
    assert share is not None
    assert share.value == pytest.approx((adapter.value - base.value) / (end.value - base.value))
    found = share.interval()
    assert 0.4 < found.low < found.value < found.high < 0.6
    one, other, third = resampled([seeds_of(*draw.normal(0.5, 0.1, (3, 50)))], 50)
    assert third.ratio_to(one - other) is None
    assert one.ratio_to(one - one) is None


def test_shared_conditions_are_drawn_once_for_all_seeds() -> None:
    """Seeds that have the same pictures and the same scores tell no more than one of them does."""
    (run,) = two_models(np.random.default_rng(6), 0.04, 1)
    one = resampled([run], num_resamples=4000)
    shared = resampled([run] * 3, shared=True, num_resamples=4000)
    nested = resampled([run] * 3, num_resamples=4000)
    widths = [width((second - first).interval()) for first, second in (one, shared, nested)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < 0.8 * widths[0]


def test_pixels_of_several_seeds_are_pooled_within_each() -> None:
    draw = np.random.default_rng(8)
    tables = [draw.integers(1, 9, (5, 4, 3)).astype(float) for _ in range(2)]
    for table in tables:
        table[..., 1:] += table[..., :1]
    (figure,) = resampled([{"first": pooled(mean_iou, table)} for table in tables], 5)
    assert figure.by_seed == pytest.approx([float(mean_iou(table.sum(axis=0))) for table in tables])
    found = figure.interval()
    assert found.value == pytest.approx(figure.by_seed.mean()) and found.low < found.value < found.high


def test_the_same_generator_gives_the_same_resamples_and_batches_alike_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = two_models(np.random.default_rng(7), 0.04, 1)
    whole = resampled(runs)[0].resampled
    np.testing.assert_array_equal(whole, resampled(runs)[0].resampled)
    monkeypatch.setattr("oft.evaluation.intervals.BATCH_VALUES", 5000)
    parts = resampled(runs)[0].resampled
    assert len(parts) == len(whole)
    assert np.std(parts) == pytest.approx(np.std(whole), rel=0.15)


@pytest.mark.parametrize(
    ("numbers", "shared", "message"), [([1], False, "two conditions"), ([3, 4], True, "as many in each seed")]
)
def test_too_few_or_unequal_conditions_are_refused(numbers: list[int], shared: bool, message: str) -> None:
    runs = [seeds_of(np.ones(number)) for number in numbers]
    with pytest.raises(ValueError, match=message):
        resample_seeds(runs, numbers, rng(), shared_conditions=shared)


def test_students_interval_of_three_seeds_is_scipys() -> None:
    from scipy.stats import ttest_1samp

    values = np.array([0.2, 0.5, 0.3])
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((values.mean(), expected.low, expected.high))
    assert mean_interval(values[:1]) is None
