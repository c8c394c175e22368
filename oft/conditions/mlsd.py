"""Straight line segments by M-LSD (Gu et al. 2022)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from oft.conditions.annotators import load_annotator, resize_back, without_package_init
from oft.conditions.condition import AnnotatorSettings, BatchExtractor, Condition, Settings
from oft.settings.section import NonNegativeFloat, Share

WEIGHTS = ("mlsd_large_512_fp32.pth",)
# ControlNet's: how many segments are looked at, and the side of the square in which a centre is the surest.
MOST_SEGMENTS = 200
PEAK_SIDE = 3


class MlsdSettings(AnnotatorSettings):
    """The network that finds straight segments."""

    score_threshold: Share
    distance_threshold: NonNegativeFloat


def load_mlsd(settings: Settings, device: str) -> BatchExtractor:
    """Return a function of a batch: white segments, 1 pixel wide where found, on black, uint8 [h, w, 3].

    ControlNet's M-LSD.

    Args:
        settings: ``model``, see `load_annotator`; ``resolution_px``, the shorter side of what the network
            sees; ``score_threshold``, how sure it must be of a segment; ``distance_threshold``, the least
            length of a segment, pixels of the network's map (half the size of what it sees).
        device: torch device.

    Raises:
        CheckpointError: the weights are missing or damaged.
    """

    def build(folder: Path) -> Any:
        from controlnet_aux.mlsd import MLSDdetector

        return MLSDdetector.from_pretrained(folder).model

    network = load_annotator("mlsd", settings, WEIGHTS, build).to(device)
    with without_package_init():
        from controlnet_aux.util import resize_image
    side_px = settings["resolution_px"]
    thresholds = settings["score_threshold"], settings["distance_threshold"]

    def detect(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "seen_h seen_w 3"]:
        import cv2

        seen = resize_image(picture, side_px)
        canvas = np.zeros(seen.shape, dtype=np.uint8)
        for x_start, y_start, x_end, y_end in find_segments(network, seen, *thresholds).tolist():
            cv2.line(canvas, (x_start, y_start), (x_end, y_end), (255, 255, 255), 1)
        return canvas

    return resize_back(detect)


def find_segments(
    network: Any,
    picture: UInt8[np.ndarray, "h w 3"],
    score_threshold: float,
    distance_threshold: float,
) -> Integer[np.ndarray, "segments 4"]:
    """Return the segments in a picture, [n, 4]: x and y of both ends in whole pixels, the surest first.

    What controlnet_aux's ``pred_lines`` does, which fails where there are none; its detector takes that, and
    any other failure, for a picture without lines.

    Args:
        network: M-LSD.
        picture: uint8 [height, width, 3], RGB; both sides multiples of 64.
        score_threshold: see `load_mlsd`.
        distance_threshold: see `load_mlsd`.
    """
    import torch

    with without_package_init():
        from controlnet_aux.mlsd.utils import deccode_output_score_and_ptss

    # The fourth channel is the network's own: ones.
    levels = np.concatenate([picture, np.ones_like(picture[..., :1])], axis=2).transpose(2, 0, 1)[None]
    device = next(network.parameters()).device
    with torch.no_grad():
        found = network(torch.from_numpy(levels.astype(np.float32) / 127.5 - 1).to(device))
    centres, scores, ends = deccode_output_score_and_ptss(found, MOST_SEGMENTS, PEAK_SIDE)
    rows, columns = centres.T
    ends = ends[rows, columns]  # of each segment: x and y of both ends, seen from its centre
    lengths = np.hypot(*(ends[:, :2] - ends[:, 2:]).T)
    kept = (scores > score_threshold) & (lengths > distance_threshold)
    # The network's map has half the picture's size.
    segments: Integer[np.ndarray, "segments 4"] = (2 * (np.tile(centres[:, ::-1], 2) + ends)[kept]).astype(
        int
    )
    return segments


CONDITION = Condition(
    "mlsd",
    shows="straight segments",
    title="Straight lines to picture",
    explanation=(
        "The condition is the straight segments that a network (M-LSD) finds in a picture: walls, windows, "
        "furniture. The model must draw a picture that has them exactly there."
    ),
    settings=MlsdSettings,
    load=load_mlsd,
)
