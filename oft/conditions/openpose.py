"""Poses of people by OpenPose (Cao et al. 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oft.conditions.annotators import load_annotator, run_detector
from oft.conditions.condition import AnnotatorSettings, BatchExtractor, Condition, Settings

BODY = "body_pose_model.pth"
HAND = "hand_pose_model.pth"
FACE = "facenet.pth"


class OpenposeSettings(AnnotatorSettings):
    """The networks that find people."""

    hands_and_face: bool


def load_openpose(settings: Settings, device: str) -> BatchExtractor:
    """Return a function of a batch: stick figures on black, uint8 [height, width, 3], RGB.

    ControlNet's colours: 18 joints from red (nose) round the colour circle, limbs at 60 % of them; hands
    and face (ControlNet 1.1's ``openpose_full``) as coloured fingers and white points. A picture without
    people is black.

    Args:
        settings: ``model``, see `load_annotator`; ``resolution_px``, the shorter side of the drawing;
            ``hands_and_face``, find and draw those too.
        device: torch device.

    Raises:
        CheckpointError: the weights are missing or damaged.
    """
    whole = settings["hands_and_face"]

    def build(folder: Path) -> Any:
        from controlnet_aux.open_pose import Body, Face, Hand, OpenposeDetector

        body = Body(folder / BODY)
        _refuse_unused(folder / BODY, body.model)
        # Its from_pretrained would ask for all three networks, wanted or not.
        if not whole:
            return OpenposeDetector(body)
        hand = Hand(folder / HAND)
        _refuse_unused(folder / HAND, hand.model)
        return OpenposeDetector(body, hand, Face(folder / FACE))

    detector = load_annotator("openpose", settings, (BODY, HAND, FACE) if whole else (BODY,), build)
    for network in (detector.body_estimation, detector.hand_estimation, detector.face_estimation):
        if network is not None:
            network.to(device)

    return run_detector(detector, settings["resolution_px"], include_hand=whole, include_face=whole)


def _refuse_unused(path: Path, network: Any) -> None:
    """Refuse a file with more weights than the network's: controlnet_aux takes what it knows of these two."""
    import torch

    from oft.weights import check_weights

    # Published without the names of the two stages' containers.
    expected = {name.partition(".")[2]: value for name, value in network.state_dict().items()}
    given = torch.load(path, map_location="cpu", weights_only=True)
    check_weights(str(path), expected, given, "download it again")


CONDITION = Condition(
    "openpose",
    shows="people as stick figures",
    title="Pose to picture",
    explanation=(
        "The condition is a stick figure for each person that a network (OpenPose) finds in a picture, each "
        "limb in its own colour. The model must draw people who stand exactly like that."
    ),
    settings=OpenposeSettings,
    load=load_openpose,
)
