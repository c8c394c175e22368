"""Soft edges by HED (Xie and Tu 2015), in the network that ControlNet trained anew under an open licence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.conditions.annotators import load_annotator, run_detector
from oft.conditions.condition import AnnotatorSettings, BatchExtractor, Condition, Settings

WEIGHTS = ("ControlNetHED.pth",)


def load_hed(settings: Settings, device: str) -> BatchExtractor:
    """Return a function of a batch: soft edges, white on black, uint8 [height, width, 3].

    ControlNet 1.0's HED and 1.1's soft edge: the network's probability of an edge, times 255.

    Args:
        settings: ``model``, see `load_annotator`; ``resolution_px``, the shorter side of what the network
            sees.
        device: torch device.

    Raises:
        CheckpointError: the weights are missing or damaged.
    """
    return load_edges("hed", settings, device, scribble=False)


def load_edges(condition: str, settings: Settings, device: str, scribble: bool) -> BatchExtractor:
    """Return a function of a batch that draws the network's edges, soft or as strokes; see `load_hed`."""

    def build(folder: Path) -> Any:
        from controlnet_aux.hed import HEDdetector

        return HEDdetector.from_pretrained(folder)

    detector = load_annotator(condition, settings, WEIGHTS, build).to(device)
    return run_detector(detector, settings["resolution_px"], scribble=scribble)


CONDITION = Condition(
    "hed",
    shows="soft edges",
    title="Soft edges to picture",
    explanation=(
        "The condition is a drawing of the outlines that a network (HED) sees in a picture, the lighter the "
        "surer. The model must draw a picture that has its outlines there."
    ),
    settings=AnnotatorSettings,
    load=load_hed,
)
