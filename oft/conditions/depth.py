"""Depth by a network, near things light."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from oft.conditions.condition import BatchExtractor, Condition, PretrainedSettings, Settings
from oft.models.pretrained import load_pretrained, model_fault

# Networks that predict relative inverse depth; others (ZoeDepth, GLPN) predict metres, the other way round.
INVERSE_DEPTH = ("dpt", "depth_anything")


def load_depth(settings: Settings, device: str) -> BatchExtractor:
    """Return a function of a batch: inverse depth, white nearest, black farthest, uint8 [height, width, 3].

    ControlNet's convention, and MiDaS's: each picture is stretched from its own farthest to its own nearest
    point.

    Args:
        settings: ``model``, see `load_pretrained`: Depth Anything or DPT (MiDaS 3).
        device: torch device.

    Raises:
        CheckpointError: the model is missing, damaged, or predicts another kind of depth.
    """
    import torch
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    setting, model = "conditions.depth.model", settings["model"]
    processor, network = load_pretrained(
        setting, model, AutoImageProcessor, AutoModelForDepthEstimation, device
    )
    kind = network.config.model_type
    if kind not in INVERSE_DEPTH or getattr(network.config, "depth_estimation_type", None) == "metric":
        raise model_fault(
            setting, model, f"{kind} predicts metres; {' and '.join(INVERSE_DEPTH)} predict relative depth"
        )

    @torch.inference_mode()
    def extract(
        pictures: Sequence[UInt8[np.ndarray, "h w 3"]],
    ) -> list[UInt8[np.ndarray, "h w 3"]]:
        inputs = processor(images=list(pictures), return_tensors="pt").to(device)
        predicted = processor.post_process_depth_estimation(
            network(**inputs), target_sizes=[picture.shape[:2] for picture in pictures]
        )
        return [near_is_white(result["predicted_depth"].float().cpu().numpy()) for result in predicted]

    return extract


def near_is_white(inverse_depth: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return inverse depth or disparity [height, width] as grey levels, uint8 [height, width, 3].

    The largest value is 255 and the smallest 0; where all are equal, all are 0.
    """
    low, high = float(inverse_depth.min()), float(inverse_depth.max())
    levels = (inverse_depth - low) * (255 / (high - low)) if high > low else np.zeros_like(inverse_depth)
    return np.repeat(levels.round().astype(np.uint8)[..., None], 3, axis=2)


CONDITION = Condition(
    "depth",
    shows="distance",
    title="Depth to picture",
    explanation=(
        "The condition says how near everything is, as a network sees it in a picture: white is nearest, "
        "black farthest. The model must draw a picture of that shape."
    ),
    settings=PretrainedSettings,
    load=load_depth,
)
