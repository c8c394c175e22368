"""A tiny network for semantic segmentation."""

from __future__ import annotations

from pathlib import Path


def save_segformer(folder: Path, num_labels: int = 150) -> Path:
    """Write a random SegFormer of a few thousand weights in transformers' layout."""
    import torch
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    config = SegformerConfig(
        num_labels=num_labels,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 8, 8],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SegformerForSemanticSegmentation(config)
        for parameter in network.parameters():
            parameter.data.normal_(std=0.5)
    network.save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder
