"""Laws of the paired bootstrap over seeds and conditions, and pixel sums against the metrics themselves."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.gains.intervals import (
    Quantity,
    divide,
    interval_of_mean,
    mean_iou,
    mean_recall,
    mean_score,
    pixel_accuracy,
    resample,
)
from oft.evaluation.densepose import compute_part_accuracy, part_confusion_matrix
from oft.evaluation.segmentation import compute_segmentation, confusion_matrix, count_classes

LEVEL = 0.95
ROUNDS = 200


def scores_table(*arms: np.ndarray) -> np.ndarray:
    """Return the columns of a mean (score, 1) of each arm for each condition."""
    return np.stack([np.stack([arm, np.ones_like(arm)], axis=1) for arm in arms], axis=1)


def quantities(tables: list[np.ndarray], *, shared: bool = False, num_resamples: int = 999) -> list[Quantity]:
    rng = np.random.default_rng(0)
    return resample(tables, mean_score, num_resamples, rng, shared_conditions=shared)


def trial(rng: np.random.Generator, gain: float, num_seeds: int, luck: float = 0.0) -> list[np.ndarray]:
    """Two arms on forty conditions a seed; ``luck`` is how far a seed's training moves the gain."""
    tables = []
    for _ in range(num_seeds):
        hard = rng.normal(0.5, 0.15, 40)
        first, second = hard + rng.normal(0, 0.05, (2, 40))
        tables.append(scores_table(first, second + gain + rng.normal(0, luck)))
    return tables


def coverage(num_seeds: int, luck: float) -> float:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(ROUNDS):
        first, second = quantities(trial(rng, 0.04, num_seeds, luck), num_resamples=499)
        low, high = (second - first).interval(LEVEL)
        held += low <= 0.04 <= high
    return held / ROUNDS


def test_with_one_seed_a_known_gain_is_covered_at_the_level() -> None:
    error = np.sqrt(LEVEL * (1 - LEVEL) / ROUNDS)
    assert coverage(1, 0.0) == pytest.approx(LEVEL, abs=3 * error)


def test_with_seeds_that_are_alike_the_interval_is_on_the_wide_side() -> None:
    assert coverage(3, 0.0) >= LEVEL


def test_with_seeds_as_different_as_their_conditions_make_them_it_keeps_its_level() -> None:
    """The luck of a training moves its gain as much as the draw of its forty conditions does."""
    luck = np.hypot(0.05, 0.05) / np.sqrt(40)
    assert coverage(3, luck) >= LEVEL - 0.05


def test_pairing_takes_out_what_makes_conditions_hard() -> None:
    first, second = quantities(trial(np.random.default_rng(2), 0.04, 1))
    alone = np.diff(second.interval(LEVEL))[0]
    paired = np.diff((second - first).interval(LEVEL))[0]
    assert paired < alone / 2


def test_a_shift_of_both_arms_changes_no_difference_and_moves_each() -> None:
    tables = trial(np.random.default_rng(3), 0.04, 3)
    shifted = [table + np.array([0.25, 0.0]) for table in tables]
    (first, second), (moved_first, moved_second) = quantities(tables), quantities(shifted)
    assert moved_first.interval(LEVEL) == pytest.approx([end + 0.25 for end in first.interval(LEVEL)])
    same, moved = second - first, moved_second - moved_first
    assert moved.interval(LEVEL) == pytest.approx(same.interval(LEVEL))
    assert moved.by_seed == pytest.approx(same.by_seed)


def test_equal_arms_gain_nothing_and_surely_so() -> None:
    table = trial(np.random.default_rng(4), 0.0, 2)
    equal = [np.repeat(one[:, :1], 2, axis=1) for one in table]
    first, second = quantities(equal)
    gain = second - first
    assert (gain.value, *gain.interval(LEVEL)) == (0, 0, 0)
    assert divide(gain, first, LEVEL) is not None


def test_a_ratio_is_that_of_the_means_and_none_where_the_denominator_may_be_zero() -> None:
    rng = np.random.default_rng(5)
    base, adapter, ceiling = quantities(
        [scores_table(rng.normal(0.2, 0.05, 50), rng.normal(0.5, 0.05, 50), rng.normal(0.8, 0.05, 50))]
    )
    share = divide(adapter - base, ceiling - base, LEVEL)
    assert share is not None and share.value == pytest.approx(
        (adapter.value - base.value) / (ceiling.value - base.value)
    )
    low, high = share.interval(LEVEL)
    assert 0.4 < low < share.value < high < 0.6
    noise = scores_table(rng.normal(0.5, 0.1, 50), rng.normal(0.5, 0.1, 50), rng.normal(0.5, 0.1, 50))
    one, other, third = quantities([noise])
    assert divide(third, one - other, LEVEL) is None
    assert divide(one, one - one, LEVEL) is None


def test_shared_conditions_are_drawn_once_for_all_seeds() -> None:
    """Seeds that have the same pictures and the same scores tell no more than one of them does."""
    (table,) = trial(np.random.default_rng(6), 0.04, 1)
    one = quantities([table], num_resamples=4000)
    shared = quantities([table] * 3, shared=True, num_resamples=4000)
    nested = quantities([table] * 3, num_resamples=4000)
    widths = [np.diff((second - first).interval(LEVEL))[0] for first, second in (one, shared, nested)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < 0.8 * widths[0]


def test_a_missing_score_counts_for_neither_sum_nor_number() -> None:
    table = scores_table(np.array([0.5, 0.0, 0.7]))
    table[1] = 0
    (quantity,) = quantities([table])
    assert quantity.value == pytest.approx(0.6)


def test_the_same_generator_gives_the_same_interval_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = trial(np.random.default_rng(7), 0.04, 1)
    whole = quantities(tables)[0].samples
    np.testing.assert_array_equal(whole, quantities(tables)[0].samples)
    monkeypatch.setattr("experiments.gains.intervals.BATCH_VALUES", 5000)
    parts = quantities(tables)[0].samples
    assert len(parts) == len(whole)
    assert np.std(parts) == pytest.approx(np.std(whole), rel=0.15)


@pytest.mark.parametrize(
    ("sizes", "shared", "message"), [([1], False, "two conditions"), ([3, 4], True, "as many in each seed")]
)
def test_too_few_or_unequal_conditions_are_refused(sizes: list[int], shared: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantities([scores_table(np.ones(size)) for size in sizes], shared=shared)


def test_students_interval_of_three_seeds_is_scipys() -> None:
    from scipy.stats import ttest_1samp

    values = np.array([0.2, 0.5, 0.3])
    expected = ttest_1samp(values, 0).confidence_interval(LEVEL)
    assert interval_of_mean(values, LEVEL) == pytest.approx((expected.low, expected.high))
    assert interval_of_mean(values[:1], LEVEL) is None


def label_maps(num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    truth = rng.integers(0, num_classes - 2, (6, 12, 12), dtype=np.uint8)
    wrong = rng.integers(1, num_classes, truth.shape, dtype=np.uint8)
    return np.where(rng.random(truth.shape) < 0.6, truth, wrong).astype(np.uint8), truth


def sums(predicted: np.ndarray, truth: np.ndarray, num_classes: int, ignore_id: int | None) -> np.ndarray:
    total = np.zeros((3, num_classes))
    for row in count_classes(predicted, truth, num_classes, ignore_id):
        total[:, row.classes] += [row.hits, row.actual, row.predicted]
    return total.reshape(-1)


def test_pixel_sums_give_the_segmentation_metrics_of_all_pictures() -> None:
    predicted, truth = label_maps(9)
    expected = compute_segmentation(confusion_matrix(predicted, truth, 9))
    total = sums(predicted, truth, 9, 0)
    assert mean_iou(total) == pytest.approx(expected["miou"])
    assert mean_recall(total) == pytest.approx(expected["macc"])
    assert pixel_accuracy(total) == pytest.approx(expected["aacc"])


def test_pixel_sums_give_the_part_metrics_of_all_pictures() -> None:
    predicted, truth = label_maps(25)
    expected = compute_part_accuracy(part_confusion_matrix(predicted, truth))
    total = sums(predicted, truth, 25, None)
    assert mean_iou(total) == pytest.approx(expected["part_miou"])
    assert pixel_accuracy(total) == pytest.approx(expected["part_accuracy"])
    stacked = np.stack([total, 2 * total])
    assert mean_iou(stacked) == pytest.approx([expected["part_miou"]] * 2)
