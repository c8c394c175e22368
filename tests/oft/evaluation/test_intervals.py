"""Laws of the bootstrap: pairing, widths as theory has them, intervals that hold as often as they claim."""

from __future__ import annotations

import numpy as np
import pytest

from oft.evaluation.class_pixels import mean_iou
from oft.evaluation.intervals import (
    Interval,
    average_by_condition,
    bootstrap_interval,
    closed_share,
    constant,
    difference_of,
    mean_interval,
    mean_of,
    pair_models,
    pooled,
)


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


def test_students_interval_of_three_seeds_is_scipys() -> None:
    from scipy.stats import ttest_1samp

    values = np.array([0.2, 0.5, 0.3])
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((values.mean(), expected.low, expected.high))
    assert mean_interval(values[:1]) is None
