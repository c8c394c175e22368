"""Photographs, and a tiny random Mask2Former for ADE20K in the layout that the loader reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from oft.conditions.ade20k_classes import NUM_CLASSES


@pytest.fixture(scope="session")
def photographs() -> np.ndarray:
    """Four pieces of photographs [4, 192, 192, 3]."""
    photos = (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket())
    return np.stack([photo[50:242, 120:312] for photo in photos])


@pytest.fixture(scope="session")
def mask2former_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_mask2former(tmp_path_factory.mktemp("mask2former"), NUM_CLASSES)


def save_mask2former(folder: Path, num_labels: int) -> Path:
    """Write a random Mask2Former whose file of preprocessing asks for a resize, as the published one does."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    backbone = SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        dim_feedforward=16,
        num_attention_heads=2,
        num_queries=20,
        num_labels=num_labels,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Mask2FormerForUniversalSegmentation(config)
        for name, parameter in network.named_parameters():
            if "mask_predictor" in name or "class_predictor" in name:  # else all pixels are of one class
                parameter.data.normal_()
        network.save_pretrained(folder)
    preprocessing = {
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "size": {"height": 384, "width": 384},
        "resample": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing), encoding="utf-8")
    return folder
