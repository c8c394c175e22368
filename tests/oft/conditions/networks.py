"""Tiny random networks in transformers' layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def save_segformer(folder: Path, num_labels: int = 150) -> Path:
    """Write a random SegFormer of a few thousand weights for ADE20K's classes."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    config = SegformerConfig(
        num_labels=num_labels,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 8, 8],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    )
    _save_random(SegformerForSemanticSegmentation, config, 0.5, folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def save_depth_anything(folder: Path, **changes: Any) -> Path:
    """Write a random Depth Anything of a few thousand weights."""
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
    _save_random(DepthAnythingForDepthEstimation, config, 0.3, folder)
    size = {"height": 56, "width": 56}
    DPTImageProcessor(size=size, keep_aspect_ratio=True, ensure_multiple_of=14).save_pretrained(folder)
    return folder


def _save_random(network_class: Any, config: Any, deviation: float, folder: Path) -> None:
    """Write a network whose weights are drawn anew, all of them, with this standard deviation."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network_class(config)
        for parameter in network.parameters():
            parameter.data.normal_(std=deviation)
    network.save_pretrained(folder)
