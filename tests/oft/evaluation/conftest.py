"""Tiny random judges, saved in the layout that the loaders read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from miniature.architecture import whole_word_merges
from oft.evaluation.features import Judge, load_clip, load_extractor, load_segmenter

WORDS = ["a", "red", "car", "green", "house", "by", "the", "sea"]


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Eight smooth random pictures [8, 32, 32, 3]."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="session")
def segmenter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        initializer_range=0.5,
    )
    config.num_labels = 5
    return _save(SegformerForSemanticSegmentation, config, tmp_path_factory.mktemp("segmenter"))


@pytest.fixture(scope="session")
def extractor_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return _save(ResNetModel, config, tmp_path_factory.mktemp("extractor"))


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    vocabulary = ["<|startoftext|>", "<|endoftext|>", *(f"{word}</w>" for word in WORDS)]
    vocabulary += sorted({letter for word in WORDS for letter in word})
    vocabulary += sorted({f"{word[-1]}</w>" for word in WORDS} - set(vocabulary))
    merges: Any = whole_word_merges(WORDS)
    vocabulary = list(dict.fromkeys([*vocabulary, *("".join(merge) for merge in merges)]))
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges)
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            **layers,
            "vocab_size": len(vocabulary),
            "max_position_embeddings": 12,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
        vision_config={**layers, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    folder = _save(CLIPModel, config, tmp_path_factory.mktemp("clip"))
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def segmenter(segmenter_folder: Path) -> Judge:
    return load_segmenter(segmenter_folder)


@pytest.fixture(scope="session")
def extractor(extractor_folder: Path) -> Judge:
    return load_extractor(extractor_folder)


@pytest.fixture(scope="session")
def clip(clip_folder: Path) -> Judge:
    return load_clip(clip_folder)


def _save(model_class: Any, config: Any, folder: Path) -> Path:
    """Random weights, the same in every run, and the world's preprocessing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model_class(config).half().save_pretrained(folder)
    preprocessing = {
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": {"height": 32, "width": 32},
        "resample": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing), encoding="utf-8")
    return folder
