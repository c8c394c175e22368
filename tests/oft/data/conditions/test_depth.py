from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oft.data.conditions.depth import load_depth, near_is_white
from oft.errors import CheckpointError


def save_depth_model(folder: Path, **changes: Any) -> Path:
    """Write a random Depth Anything of a few thousand weights."""
    import torch
    from transformers import (
        DepthAnythingConfig,
        DepthAnythingForDepthEstimation,
        Dinov2Config,
        DPTImageProcessor,
    )

    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=28,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[4, 4, 4, 4],
        fusion_hidden_size=8,
        head_hidden_size=8,
        **changes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DepthAnythingForDepthEstimation(config)
        for parameter in network.parameters():
            parameter.data.normal_(std=0.3)
    network.save_pretrained(folder)
    size = {"height": 56, "width": 56}
    DPTImageProcessor(size=size, keep_aspect_ratio=True, ensure_multiple_of=14).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def depth_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_depth_model(tmp_path_factory.mktemp("depth"))


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


def test_a_network_that_predicts_metres_is_refused(tmp_path: Path) -> None:
    folder = save_depth_model(tmp_path, depth_estimation_type="metric", max_depth=20)
    with pytest.raises(CheckpointError, match="depth_anything predicts metres"):
        load_depth({"model": str(folder)}, "cpu")
