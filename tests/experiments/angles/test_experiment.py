"""The experiment's finding, on pictures it has not seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.angles.experiment import evenly_spaced, run_experiment, tile_columns
from experiments.angles.pictures import PictureSets
from oft.settings.evaluation import Angles

Result = tuple[dict[str, float | int], np.ndarray]


def experiment(sets: PictureSets, settings: Angles) -> Result:
    return run_experiment(sets, settings, "cpu", torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def result(sets: PictureSets, settings: Angles) -> Result:
    return experiment(sets, settings)


def test_angles_reconstruct_the_picture_and_magnitudes_do_not(result: Result) -> None:
    metrics, _ = result
    assert metrics["psnr_full"] > metrics["psnr_angle"] > metrics["psnr_mean_picture"]
    assert metrics["psnr_angle"] > metrics["psnr_magnitude"] + 3
    assert metrics["correlation_angle"] > 0.7
    assert metrics["correlation_magnitude"] < metrics["correlation_mean_picture"]


def test_metrics_are_flat_and_count_the_pictures(result: Result, sets: PictureSets) -> None:
    metrics, _ = result
    names = ("full", "angle", "magnitude", "mean_picture")
    assert {f"{score}_{name}" for score in ("psnr", "correlation") for name in names} <= set(metrics)
    assert metrics["num_images"] == len(sets.held_out) and metrics["num_train_images"] == len(sets.train)


def test_the_grid_begins_with_the_held_out_pictures(
    result: Result, sets: PictureSets, settings: Angles
) -> None:
    _, grid = result
    side_px = settings.resolution_px
    assert grid.shape == (settings.num_rows * side_px, 4 * side_px, 3)
    np.testing.assert_array_equal(grid[:side_px, :side_px], sets.held_out[0])
    np.testing.assert_array_equal(grid[-side_px:, :side_px], sets.held_out[-1])


def test_equal_seeds_give_equal_bytes(sets: PictureSets, settings: Angles) -> None:
    short = settings.model_copy(update={"max_train_steps": 5})
    (metrics, grid), (again, grid_again) = (experiment(sets, short) for _ in range(2))
    assert metrics == again and grid.tobytes() == grid_again.tobytes()


@pytest.mark.parametrize(
    ("number", "places"), [(1, [0]), (3, [0, 4, 9]), (10, list(range(10))), (99, range(10))]
)
def test_shown_pictures_are_evenly_spaced_and_unique(number: int, places: list[int]) -> None:
    pictures = np.arange(10, dtype=np.uint8)[:, None, None, None]
    assert evenly_spaced(pictures, number).ravel().tolist() == list(places)


def test_a_column_is_a_form_and_a_row_a_picture() -> None:
    columns = [np.full((2, 1, 1, 3), level, np.uint8) for level in (10, 20, 30)]
    columns[1][1] = 21
    assert tile_columns(columns)[..., 0].tolist() == [[10, 20, 30], [10, 21, 30]]
