"""Surface normals by the network of Bae et al. 2021, trained on ScanNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.conditions.annotators import load_annotator, run_detector
from oft.conditions.condition import AnnotatorSettings, BatchExtractor, Condition, Settings

WEIGHTS = ("scannet.pt",)


def load_normal(settings: Settings, device: str) -> BatchExtractor:
    """Return a function of a batch: normals as colours, uint8 [height, width, 3], RGB.

    ControlNet 1.1's ``normal_bae``: each component from -1..1 to 0..255, red towards the left, green
    towards the top, blue towards the viewer. (ControlNet 1.0's normals, from MiDaS depth, have other axes.)

    Args:
        settings: ``model``, see `load_annotator`; ``resolution_px``, the shorter side of what the network
            sees.
        device: torch device.

    Raises:
        CheckpointError: the weights are missing or damaged.
    """

    def build(folder: Path) -> Any:
        from controlnet_aux.normalbae import NormalBaeDetector

        return NormalBaeDetector.from_pretrained(folder)

    detector = load_annotator("normal", settings, WEIGHTS, build).to(device)
    return run_detector(detector, settings["resolution_px"])


CONDITION = Condition(
    "normal",
    shows="directions of surfaces",
    title="Surface normals to picture",
    explanation=(
        "The condition says which way every surface faces: red to the left, green up, blue towards the "
        "viewer. The model must draw a picture of that shape."
    ),
    settings=AnnotatorSettings,
    load=load_normal,
)
