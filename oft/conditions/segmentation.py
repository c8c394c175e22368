"""Segmentation maps in ADE20K's palette, ControlNet's convention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8

from oft.conditions.ade20k_classes import NUM_CLASSES, colourise
from oft.conditions.condition import BatchExtractor, Condition, PretrainedSettings, Settings
from oft.datasets.annotations import ADE20K_LABELS
from oft.errors import DataError
from oft.models.pretrained import load_pretrained, model_fault


def extract_segmentation(labels: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the coloured map, uint8 [height, width, 3].

    Args:
        labels: ids [height, width], 0 = other (black), 1 to 150 = ADE20K's classes.

    Raises:
        DataError: an id is out of range.
    """
    highest = int(labels.max(initial=0))
    if highest > NUM_CLASSES:
        raise DataError(
            f"ADE20K's ids run from 0 to {NUM_CLASSES}, got {highest}; give id maps, not coloured ones"
        )
    return colourise(labels.astype(np.uint8))


def load_segmentation(settings: Settings, device: str) -> BatchExtractor:
    """Return a function of a batch: id maps, uint8 [height, width], 1 to 150, for `extract_segmentation`.

    For pictures of data sets that have no maps. A network has no class "other": no id is 0.

    Args:
        settings: ``model``, see `load_pretrained`: SegFormer or any other network for ADE20K's 150 classes.
        device: torch device.

    Raises:
        CheckpointError: the model is missing, damaged, or has other classes.
    """
    import torch
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    setting, model = "conditions.segmentation.model", settings["model"]
    processor, network = load_pretrained(
        setting, model, AutoImageProcessor, AutoModelForSemanticSegmentation, device
    )
    if network.config.num_labels != NUM_CLASSES:
        raise model_fault(
            setting, model, f"it has {network.config.num_labels} classes, ADE20K has {NUM_CLASSES}"
        )

    @torch.inference_mode()
    def predict(
        pictures: Sequence[UInt8[np.ndarray, "h w 3"]],
    ) -> list[UInt8[np.ndarray, "h w"]]:
        inputs = processor(images=list(pictures), return_tensors="pt").to(device)
        maps = processor.post_process_semantic_segmentation(
            network(**inputs), target_sizes=[picture.shape[:2] for picture in pictures]
        )
        return [(ids + 1).to(torch.uint8).cpu().numpy() for ids in maps]

    return predict


CONDITION = Condition(
    "segmentation",
    shows="what is where",
    title="Region map to picture",
    explanation=(
        "The condition is a map of what is where: each colour stands for one kind of thing (sky, water, "
        "road, …). The model must draw a picture in which everything is where the map says."
    ),
    settings=PretrainedSettings,
    annotation=ADE20K_LABELS,
    extract=extract_segmentation,
    load=load_segmentation,
    keeps_labels=True,
)
