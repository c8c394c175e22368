from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.linalg import sqrtm

from oft.errors import DataError
from oft.evaluation.distribution import compute_frechet_distance, compute_kernel_distance, compute_mmd


def normal(seed: int, rows: int, width: int = 8, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (rows, width))


def reference_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Heusel et al. 2017, eq. 6, term by term."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(cov_a @ cov_b)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root.real))


def test_the_frechet_distance_agrees_with_the_matrix_square_root() -> None:
    mixing = np.random.default_rng(3).normal(size=(8, 8))
    a, b = normal(0, 300), normal(1, 200, shift=0.5) @ mixing
    assert compute_frechet_distance(a, b) == pytest.approx(reference_distance(a, b), rel=1e-9)


def test_the_frechet_distance_of_known_gaussians_in_one_dimension() -> None:
    a = np.array([[-1.0], [1.0]])  # variance 2
    b = np.array([[1.0], [5.0]])  # mean 3, variance 8
    assert compute_frechet_distance(a, b) == pytest.approx(3**2 + (np.sqrt(8) - np.sqrt(2)) ** 2)


@pytest.mark.parametrize("rows", [4, 100])
def test_the_frechet_distance_of_a_set_and_itself_in_any_order_is_zero(rows: int) -> None:
    a = normal(0, rows, width=16).astype(np.float32)  # 4 rows: fewer than the width, a singular covariance
    assert compute_frechet_distance(a, np.random.default_rng(1).permutation(a)) == pytest.approx(0, abs=1e-10)


def test_the_frechet_distance_of_a_pure_shift_is_its_squared_length() -> None:
    a = normal(0, 5, width=16)
    assert compute_frechet_distance(a, a + 0.25) == pytest.approx(16 * 0.25**2)


def test_the_frechet_distance_is_symmetric_and_blind_to_rotation() -> None:
    a, b = normal(0, 50), normal(1, 60, scale=2.0)
    rotation, _ = np.linalg.qr(normal(2, 8))
    assert compute_frechet_distance(b, a) == pytest.approx(compute_frechet_distance(a, b))
    assert compute_frechet_distance(a @ rotation, b @ rotation) == pytest.approx(
        compute_frechet_distance(a, b)
    )


def test_mmd_agrees_with_its_definition_pair_by_pair() -> None:
    a, b = normal(0, 5, width=3), normal(1, 4, width=3, shift=1)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    def within(rows: np.ndarray) -> list[float]:
        return [kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]

    across = [kernel(x, y) for x in a for y in b]
    assert compute_mmd(a, b) == pytest.approx(np.mean(within(a)) + np.mean(within(b)) - 2 * np.mean(across))


def test_mmd_is_unbiased() -> None:
    """Over many draws from one distribution the mean is zero: positive and negative values occur."""
    rng = np.random.default_rng(0)
    values = np.array([compute_mmd(rng.normal(size=(10, 4)), rng.normal(size=(10, 4))) for _ in range(400)])
    assert values.min() < 0 < values.max()
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))


def test_the_kernel_distance_is_near_zero_within_a_distribution_and_grows_with_the_distance() -> None:
    def distance(shift: float) -> dict[str, float]:
        return compute_kernel_distance(
            normal(0, 400),
            normal(1, 400, shift=shift),
            subsets=20,
            subset_size=100,
            rng=np.random.default_rng(2),
        )

    assert abs(distance(0.0)["kernel_distance"]) < 0.02
    assert 0.02 < distance(0.3)["kernel_distance"] < distance(0.6)["kernel_distance"]


def test_the_kernel_distance_depends_on_the_generator_alone() -> None:
    a, b = normal(0, 60), normal(1, 50)

    def distance(seed: int) -> dict[str, float]:
        return compute_kernel_distance(a, b, subsets=3, subset_size=20, rng=np.random.default_rng(seed))

    assert distance(0) == distance(0)
    assert distance(0) != distance(1)


def test_the_kernel_distance_of_whole_sets_does_not_vary() -> None:
    a, b = normal(0, 30), normal(1, 30, shift=0.2)
    found = compute_kernel_distance(a, b, subsets=3, subset_size=30, rng=np.random.default_rng(0))
    assert found["kernel_distance"] == pytest.approx(compute_mmd(a, b))
    assert found["kernel_distance_std"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("subsets", "subset_size"), [(0, 10), (1, 1), (1, 41)])
def test_the_kernel_distance_refuses_impossible_subsets(subsets: int, subset_size: int) -> None:
    with pytest.raises(DataError, match=rf"subset_size in 2\.\.40 .*not {subsets} and {subset_size}"):
        compute_kernel_distance(
            normal(0, 40),
            normal(1, 50),
            subsets=subsets,
            subset_size=subset_size,
            rng=np.random.default_rng(0),
        )


@pytest.mark.parametrize("compute", [compute_frechet_distance, compute_mmd])
def test_unusable_features_are_refused(compute: Callable[[np.ndarray, np.ndarray], float]) -> None:
    a = normal(0, 10)
    holed = a.copy()
    holed[3, 2] = np.nan
    with pytest.raises(DataError, match=r"1 of 10 rows are not, row 3 the first"):
        compute(a, holed)
    with pytest.raises(DataError, match="one width, not 8 and 4"):
        compute(a, a[:, :4])
    with pytest.raises(DataError, match="at least 2 needed, 1 given"):
        compute(a[:1], a)
    with pytest.raises(DataError, match=r"\[N, D\]"):
        compute(a[0], a)
