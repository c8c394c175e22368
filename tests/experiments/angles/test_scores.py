"""Scores of drawn pictures, against other implementations and at their ends."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from experiments.angles.scores import ROUNDING_ERROR, correlation, psnr_db


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Originals [4, 8, 8, 3] and noisy drawings of them."""
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    noise = rng.normal(0, [[[[5]]], [[[20]]], [[[40]]], [[[80]]]], originals.shape)
    return np.clip(originals + noise, 0, 255).astype(np.uint8), originals


def test_psnr_is_the_mean_of_scikit_images(pair: tuple[np.ndarray, np.ndarray]) -> None:
    drawn, originals = pair
    each = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(originals, drawn, strict=True)]
    assert psnr_db(drawn, originals) == pytest.approx(np.mean(each))


def test_correlation_is_the_mean_of_numpys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    drawn, originals = pair
    each = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(drawn, originals, strict=True)]
    assert correlation(drawn, originals) == pytest.approx(np.mean(each))


def test_an_exact_copy_has_the_highest_scores_and_they_are_finite(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    _, originals = pair
    assert psnr_db(originals, originals) == pytest.approx(10 * np.log10(255**2 / ROUNDING_ERROR))
    assert correlation(originals, originals) == pytest.approx(1)
    assert correlation(255 - originals, originals) == pytest.approx(-1)


def test_correlation_ignores_brightness_and_contrast(pair: tuple[np.ndarray, np.ndarray]) -> None:
    _, originals = pair
    even = originals // 2 * 2
    assert correlation(even // 2 + 40, even) == pytest.approx(1)


def test_one_colour_correlates_with_nothing(pair: tuple[np.ndarray, np.ndarray]) -> None:
    _, originals = pair
    flat = np.full_like(originals, 99)
    assert correlation(flat, originals) == correlation(originals, flat) == correlation(flat, flat) == 0
