from __future__ import annotations

import itertools

import numpy as np
import pytest

from oft.errors import DataError
from oft.evaluation.diversity import compute_distances, compute_diversity, unit_channels


def pyramid(seed: int, pictures: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(4, 8, 8), (6, 4, 4)]
    return [rng.normal(size=(pictures, *shape)).astype(np.float32) for shape in shapes]


def pick(levels: list[np.ndarray], i: int) -> list[np.ndarray]:
    return [level[i : i + 1] for level in levels]


def test_equal_pictures_are_at_distance_zero() -> None:
    np.testing.assert_array_equal(compute_distances(pyramid(0, 3), pyramid(0, 3)), np.zeros(3))


def test_opposite_features_are_at_the_largest_distance() -> None:
    levels = pyramid(0, 3)
    np.testing.assert_allclose(compute_distances(levels, [-level for level in levels]), np.full(3, 8.0))


def test_distance_is_twice_one_minus_the_mean_cosine_summed_over_levels() -> None:
    first, second = pyramid(0, 2), pyramid(1, 2)
    expected = np.zeros(2)
    for a, b in zip(first, second, strict=True):
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        expected += 2 * (1 - cosine).mean(axis=(1, 2))
    np.testing.assert_allclose(compute_distances(first, second), expected, rtol=1e-5)


def test_distance_is_symmetric_and_blind_to_the_strength_of_a_position() -> None:
    first, second = pyramid(0, 2), pyramid(1, 2)
    stronger = [level * np.linspace(1, 9, level.shape[-1], dtype=np.float32) for level in first]
    expected = compute_distances(first, second)
    np.testing.assert_allclose(compute_distances(second, first), expected)
    np.testing.assert_allclose(compute_distances(stronger, second), expected, rtol=1e-5)


def test_one_picture_is_compared_with_each_of_the_other_side() -> None:
    first, second = pyramid(0, 1), pyramid(1, 3)
    one_by_one = [compute_distances(first, pick(second, i))[0] for i in range(3)]
    np.testing.assert_allclose(compute_distances(first, second), one_by_one)


def test_silent_positions_stay_silent() -> None:
    assert not unit_channels(np.zeros((1, 3, 2, 2))).any()


def test_diversity_is_the_mean_over_prompts_of_the_mean_over_pairs() -> None:
    prompts = {"a dog": pyramid(0, 3), "a house": pyramid(1, 2)}
    means = [
        np.mean(
            [
                compute_distances(pick(levels, i), pick(levels, j))
                for i, j in itertools.combinations(range(len(levels[0])), 2)
            ]
        )
        for levels in prompts.values()
    ]
    diversity = compute_diversity(prompts)
    assert diversity["diversity"] == pytest.approx(np.mean(means))
    assert (diversity["diversity_prompts"], diversity["diversity_single"]) == (2, 0)


def test_order_of_pictures_and_prompts_changes_nothing() -> None:
    a, b = pyramid(0, 4), pyramid(1, 3)
    shuffled = compute_diversity(
        {"b": [level[::-1] for level in b], "a": [level[[2, 0, 3, 1]] for level in a]}
    )
    assert shuffled == pytest.approx(compute_diversity({"a": a, "b": b}))


def test_copies_have_no_diversity() -> None:
    copies = [np.repeat(level, 3, axis=0) for level in pyramid(0, 1)]
    assert compute_diversity({"a dog": copies})["diversity"] == 0


def test_prompts_with_one_picture_are_counted_and_left_out() -> None:
    alone = compute_diversity({"a": pyramid(0, 3)})
    with_single = compute_diversity({"a": pyramid(0, 3), "b": pyramid(1, 1), "c": []})
    assert with_single == {**alone, "diversity_single": 2}


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(DataError, match="none of 1 prompts"):
        compute_diversity({"a": pyramid(0, 1)})


def test_pyramids_of_other_levels_are_refused() -> None:
    with pytest.raises(DataError, match="same levels"):
        compute_distances(pyramid(0, 1), pyramid(0, 1)[:1])
    with pytest.raises(DataError, match="same levels"):
        compute_distances([], [])
