"""Line art by the drawing network of Chan et al. 2022 (Informative Drawings)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.conditions.annotators import load_annotator, running
from oft.conditions.condition import BatchExtractor, Settings

WEIGHTS = ("sk_model.pth", "sk_model2.pth")


def load_lineart(settings: Settings, device: str) -> BatchExtractor:
    """Return a function of a batch: white lines on black, uint8 [height, width, 3].

    ControlNet 1.1 shows its line art black on white but feeds its network the inverse, which this is.

    Args:
        settings: ``model``, see `load_annotator`; ``resolution_px``, the shorter side of what the network
            sees; ``coarse``, fewer and bolder lines.
        device: torch device.

    Raises:
        CheckpointError: the weights are missing or damaged.
    """

    def build(folder: Path) -> Any:
        from controlnet_aux.lineart import LineartDetector

        return LineartDetector.from_pretrained(folder)

    detector = load_annotator("lineart", settings, WEIGHTS, build).to(device)
    return running(detector, settings["resolution_px"], coarse=settings["coarse"])
