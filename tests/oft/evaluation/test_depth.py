"""Depth scores: laws, a plain re-typing, and the judge's contract."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers.utils import ModelOutput

from oft.errors import DataError
from oft.evaluation.depth import extract_depth, measure_depth, score_depth
from oft.evaluation.measure import Measurements
from oft.evaluation.preprocessing import Preprocessing


class BrightIsNear:
    """A judge at half the picture's size whose inverse depth is brightness in units of its own.

    It gives it as DPT does, or as a map of a SegFormer.
    """

    device = torch.device("cpu")

    def __init__(self, as_map: bool = False) -> None:
        self.as_map = as_map

    def __call__(self, pixel_values: torch.Tensor) -> Any:
        brightness = torch.nn.functional.avg_pool2d(pixel_values.mean(dim=1, keepdim=True), 2)
        inverse_depth = 7 * brightness + 40
        return ModelOutput(
            {"logits": inverse_depth} if self.as_map else {"predicted_depth": inverse_depth[:, 0]}
        )


JUDGE: Any = SimpleNamespace(model=BrightIsNear(), preprocessing=Preprocessing())


def ramps(count: int = 3) -> np.ndarray:
    """Return pictures whose brightness rises to the right, each from and to other levels."""
    across = np.linspace(0, 1, 32)
    levels = [40 + 10 * number + (150 + 5 * number) * across for number in range(count)]
    rows = np.rint(np.stack(levels)).astype(np.uint8)
    return np.repeat(np.repeat(rows[:, None, :, None], 32, axis=1), 3, axis=3)


def test_a_map_that_is_the_condition_has_no_error_and_its_negative_the_most() -> None:
    maps = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    assert score_depth(maps, maps).tolist() == [0.0] * 4
    black, white = np.zeros_like(maps), np.full_like(maps, 255)
    assert score_depth(black, white).tolist() == [255.0] * 4 == score_depth(white, black).tolist()


def test_parity_with_a_plain_retyping() -> None:
    first, second = np.random.default_rng(1).integers(0, 256, (2, 3, 5, 7), dtype=np.uint8)
    for number, error in enumerate(score_depth(first, second)):
        pairs = zip(first[number].ravel().tolist(), second[number].ravel().tolist(), strict=True)
        assert error == pytest.approx(math.sqrt(sum((a - b) ** 2 for a, b in pairs) / 35))


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match="one shape"):
        score_depth(np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 5), np.uint8))


def test_depth_is_stretched_from_each_pictures_farthest_to_its_nearest() -> None:
    found = extract_depth(ramps(), JUDGE, batch_size=2)
    assert found.shape == (3, 32, 32) and found.dtype == np.uint8
    for depth in found:
        assert (depth.min(), depth.max()) == (0, 255)
        assert (np.diff(depth.astype(int), axis=1) >= 0).all()
    # Other units and levels give the same map, to rounding.
    assert np.abs(found[0].astype(int) - found[2]).max() <= 3


def test_a_segformers_map_is_read_as_dpts_depth() -> None:
    judge: Any = SimpleNamespace(model=BrightIsNear(as_map=True), preprocessing=Preprocessing())
    np.testing.assert_array_equal(extract_depth(ramps(), judge, 2), extract_depth(ramps(), JUDGE, 2))


def test_measuring_pairs_each_picture_with_its_own_condition() -> None:
    pictures = np.stack([ramps(1)[0], ramps(1)[0][:, ::-1]])
    truth = extract_depth(pictures, JUDGE, batch_size=2)
    measured = Measurements()
    settings: Any = SimpleNamespace(batch_size=2)
    compared = {"": (pictures[::-1], np.array([1, 0])), "_real": (pictures, np.array([1, 0]))}
    measure_depth(compared, truth, JUDGE, settings, measured)
    assert measured.metrics["depth_rmse"] == 0 and measured.metrics["depth_rmse_real"] > 100
    assert measured.scores["depth_rmse"] == [0.0, 0.0]
