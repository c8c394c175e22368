"""Depth, near things light: the data set's own maps or, where it has none, a network's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from oft.conditions.condition import BatchExtractor, Condition, PretrainedSettings, Settings
from oft.datasets.annotations import DEPTH_MAP
from oft.models.pretrained import load_pretrained, model_fault

# Networks that predict relative inverse depth; others (ZoeDepth, GLPN) predict metres, the other way round.
INVERSE_DEPTH = ("dpt", "depth_anything")


def extract_depth(depth_map: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return a depth map stretched from its farthest to its nearest point, uint8 [height, width, 3].

    Args:
        depth_map: grey levels [height, width, 3], the lighter the nearer.
    """
    return near_is_white(depth_map[..., 0].astype(np.float32))


def load_depth(settings: Settings, device: str) -> BatchExtractor:
    """Return a function of a batch: depth maps for `extract_depth`, uint8 [height, width, 3].

    For pictures of data sets that have no maps: inverse depth, white nearest, black farthest, ControlNet's
    convention and MiDaS's.

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
        "The condition says how near everything is: white is nearest, black farthest. The model must draw a "
        "picture of that shape."
    ),
    settings=PretrainedSettings,
    annotation=DEPTH_MAP,
    extract=extract_depth,
    load=load_depth,
)
