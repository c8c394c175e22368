"""Straight line segments by M-LSD (Gu et al. 2022)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oft.data.conditions.annotators import at_own_size, load_annotator
from oft.data.conditions.condition import BatchExtractor, Settings

WEIGHTS = ("mlsd_large_512_fp32.pth",)


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
        # controlnet_aux's own call takes every error for a picture without lines; these are its parts.
        from controlnet_aux.mlsd import MLSDdetector
        from controlnet_aux.mlsd.utils import pred_lines
        from controlnet_aux.util import resize_image

        return MLSDdetector.from_pretrained(folder).model, pred_lines, resize_image

    network, find_lines, resize_image = load_annotator("mlsd", settings, WEIGHTS, build)
    network.to(device)

    def detect(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2
        import torch

        seen = resize_image(picture, settings["resolution_px"])
        with torch.no_grad():
            lines = find_lines(
                seen, network, seen.shape[:2], settings["score_threshold"], settings["distance_threshold"]
            )
        canvas = np.zeros(seen.shape, dtype=np.uint8)
        for x_start, y_start, x_end, y_end in np.asarray(lines, dtype=int).reshape(-1, 4).tolist():
            cv2.line(canvas, (x_start, y_start), (x_end, y_end), (255, 255, 255), 1)
        return canvas

    return at_own_size(detect)
