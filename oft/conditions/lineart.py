"""Line art by the drawing network of Chan et al. 2022 (Informative Drawings)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.conditions.annotators import load_annotator, run_detector
from oft.conditions.condition import AnnotatorSettings, BatchExtractor, Condition, Settings

WEIGHTS = ("sk_model.pth", "sk_model2.pth")


class LineartSettings(AnnotatorSettings):
    """The network that draws lines."""

    coarse: bool


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
    return run_detector(detector, settings["resolution_px"], coarse=settings["coarse"])


CONDITION = Condition(
    "lineart",
    shows="a line drawing",
    title="Line art to picture",
    explanation=(
        "The condition is a line drawing that a network made of a picture, white on black. The model must "
        "draw the picture that belongs to it."
    ),
    settings=LineartSettings,
    load=load_lineart,
)
