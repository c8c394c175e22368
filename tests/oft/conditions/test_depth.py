from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from oft.conditions.depth import extract_depth, load_depth, near_is_white
from oft.errors import CheckpointError
from tests.oft.conditions.networks import save_depth_anything


@pytest.fixture(scope="module")
def depth_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_depth_anything(tmp_path_factory.mktemp("depth"))


def test_depth_is_stretched_over_each_picture_whatever_the_batch(
    depth_model: Path, cat: NDArray[np.uint8]
) -> None:
    pictures = [cat, cat[:, ::-1].copy()]
    extract = load_depth({"model": str(depth_model)}, "cpu")
    together = extract(pictures)
    for picture, drawn in zip(pictures, together, strict=True):
        assert drawn.shape == cat.shape and drawn.dtype == np.uint8
        assert (drawn == drawn[..., :1]).all() and drawn.min() == 0 and drawn.max() == 255
        assert np.abs(extract([picture])[0].astype(int) - drawn).max() <= 1


def test_the_nearest_is_white_and_the_farthest_black() -> None:
    inverse_depth = np.array([[0.25, 1.25], [0.75, 0.5]])
    assert near_is_white(inverse_depth)[..., 0].tolist() == [[0, 255], [128, 64]]
    assert not near_is_white(np.full((4, 4), 3.0)).any()


def test_a_given_map_is_stretched_and_a_networks_stays_as_it_is() -> None:
    given = np.repeat(np.array([[40, 140], [90, 65]], np.uint8)[..., None], 3, axis=2)
    stretched = extract_depth(given)
    assert stretched[..., 0].tolist() == [[0, 255], [128, 64]]
    np.testing.assert_array_equal(extract_depth(stretched), stretched)


def test_weights_that_no_picture_passes_through_may_be_missing(
    depth_model: Path, cat: NDArray[np.uint8], tmp_path: Path
) -> None:
    """As in Intel/dpt-large: the deepest fusion has nothing to add."""
    from safetensors.torch import load_file, save_file

    whole = Path(shutil.copytree(depth_model, tmp_path / "without")) / "model.safetensors"
    weights = load_file(whole)
    kept = {
        name: value for name, value in weights.items() if "fusion_stage.layers.0.residual_layer1" not in name
    }
    assert len(kept) < len(weights)
    save_file(kept, whole, metadata={"format": "pt"})
    [drawn] = load_depth({"model": str(whole.parent)}, "cpu")([cat])
    np.testing.assert_array_equal(drawn, load_depth({"model": str(depth_model)}, "cpu")([cat])[0])


def test_a_network_that_predicts_metres_is_refused(tmp_path: Path) -> None:
    folder = save_depth_anything(tmp_path, depth_estimation_type="metric", max_depth=20)
    with pytest.raises(CheckpointError, match="depth_anything predicts metres"):
        load_depth({"model": str(folder)}, "cpu")
