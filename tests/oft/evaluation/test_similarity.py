from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from oft.errors import DataError
from oft.evaluation.similarity import compute_similarity_of_others, score_pairwise, score_text_image


def normal(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)


def test_figures_agree_with_scikit_learn() -> None:
    a, b = normal(0, 5), normal(1, 5)
    cosines = cosine_similarity(a.astype(np.float64), b.astype(np.float64))
    assert score_text_image(a, b) == pytest.approx(np.diag(cosines))
    assert score_pairwise(a, b) == pytest.approx(cosines.mean(axis=1))
    within = cosine_similarity(a.astype(np.float64))
    assert compute_similarity_of_others(a, a) == pytest.approx(within[~np.eye(5, dtype=bool)].mean())


def test_range_is_reached_at_equal_and_opposite_features() -> None:
    a = normal(0, 4)
    assert score_text_image(a, a) == pytest.approx(1)
    assert score_text_image(a, -a) == pytest.approx(-1)
    one = np.repeat(a[:1], 3, axis=0)
    assert score_pairwise(one, -one) == pytest.approx(-1)
    assert compute_similarity_of_others(one, one) == pytest.approx(1)


def test_length_of_features_does_not_count() -> None:
    a, b = normal(0, 4), normal(1, 4)
    lengths = np.array([[0.1], [1], [10], [100]], dtype=np.float32)
    assert score_text_image(a * lengths, b) == pytest.approx(score_text_image(a, b), rel=1e-5)
    assert score_pairwise(a * lengths, b) == pytest.approx(score_pairwise(a, b), rel=1e-5)
    assert compute_similarity_of_others(a * lengths, a) == pytest.approx(
        compute_similarity_of_others(a, a), rel=1e-5
    )


def test_order_counts_for_prompts_and_not_for_pairs() -> None:
    a, b = normal(0, 5), normal(1, 5)
    order = np.array([2, 0, 4, 1, 3])
    assert score_text_image(a[order], b[order]).mean() == pytest.approx(score_text_image(a, b).mean())
    assert score_text_image(a[order], b).mean() != pytest.approx(score_text_image(a, b).mean())
    assert score_pairwise(a[order], b).mean() == pytest.approx(score_pairwise(a, b).mean())


def test_a_picture_is_not_compared_with_itself_nor_with_its_reconstruction() -> None:
    orthogonal = np.eye(4)
    assert compute_similarity_of_others(orthogonal, orthogonal) == pytest.approx(0)
    assert score_pairwise(orthogonal, orthogonal) == pytest.approx(0.25)
    turned = np.roll(orthogonal, 1, axis=1)  # each like the next picture, never like itself
    assert compute_similarity_of_others(turned, orthogonal) == pytest.approx(1 / 3)


def test_unusable_features_are_refused() -> None:
    a = normal(0, 4)
    zero = a.copy()
    zero[2] = 0
    with pytest.raises(DataError, match="row 2 is zero"):
        score_pairwise(a, zero)
    with pytest.raises(DataError, match="one shape"):
        score_text_image(a, a[:3])
    with pytest.raises(DataError, match="one width"):
        score_pairwise(a, a[:, :3])
    with pytest.raises(DataError, match="at least 2 needed"):
        compute_similarity_of_others(a[:1], a[:1])
    with pytest.raises(DataError, match="at least 1 needed"):
        score_pairwise(a[:0], a)
