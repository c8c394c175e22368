from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from oft.errors import DataError
from oft.evaluation.canny import compute_canny, score_edges

Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def edges() -> Pair:
    rng = np.random.default_rng(0)
    real = rng.random((6, 12, 12)) < 0.2
    return (real * 255).astype(np.uint8), ((real ^ (rng.random(real.shape) < 0.1)) * 255).astype(np.uint8)


def test_equal_maps_score_one(edges: Pair) -> None:
    real, _ = edges
    assert compute_canny(real, real) == {"canny_iou": 1.0, "canny_f1": 1.0, "canny_empty": 0}


def test_disjoint_maps_score_zero(edges: Pair) -> None:
    real, _ = edges
    assert compute_canny(real, 255 - real) == {"canny_iou": 0.0, "canny_f1": 0.0, "canny_empty": 0}


def test_scores_agree_with_scikit_learn(edges: Pair) -> None:
    real, generated = edges
    pairs = [((a > 0).ravel(), (b > 0).ravel()) for a, b in zip(real, generated, strict=True)]
    iou, f1 = score_edges(real, generated)
    np.testing.assert_allclose(iou, [jaccard_score(a, b) for a, b in pairs])
    np.testing.assert_allclose(f1, [f1_score(a, b) for a, b in pairs])


def test_order_of_pictures_and_sides_and_the_edge_value_change_nothing(edges: Pair) -> None:
    real, generated = edges
    order = np.random.default_rng(1).permutation(len(real))
    expected = pytest.approx(compute_canny(real, generated))
    assert compute_canny(real[order], generated[order]) == expected
    assert compute_canny(generated, real) == expected
    assert compute_canny(real > 0, generated > 0) == expected


def test_pictures_without_any_edge_are_counted_and_left_out(edges: Pair) -> None:
    real, generated = edges
    blank = np.zeros_like(real[:2])
    with_blanks = compute_canny(np.concatenate([real, blank]), np.concatenate([generated, blank]))
    without = compute_canny(real, generated)
    assert with_blanks == pytest.approx({**without, "canny_empty": 2})


def test_an_edgeless_answer_to_an_edge_is_a_zero_not_an_empty_union(edges: Pair) -> None:
    real, _ = edges
    assert compute_canny(real, np.zeros_like(real)) == {"canny_iou": 0.0, "canny_f1": 0.0, "canny_empty": 0}


def test_no_edge_anywhere_is_refused() -> None:
    blank = np.zeros((3, 4, 4), np.uint8)
    with pytest.raises(DataError, match="none of 3 pairs"):
        compute_canny(blank, blank)


def test_shapes_must_agree_and_be_stacks(edges: Pair) -> None:
    real, generated = edges
    with pytest.raises(DataError, match="one shape"):
        compute_canny(real, generated[:-1])
    with pytest.raises(DataError, match="height, width"):
        compute_canny(real[0], generated[0])
