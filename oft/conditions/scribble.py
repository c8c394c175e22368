"""Scribbles: the soft edges of HED thinned to their ridges and drawn with a thick pen."""

from __future__ import annotations

from oft.conditions.condition import AnnotatorSettings, BatchExtractor, Condition, Settings
from oft.conditions.hed import load_edges


def load_scribble(settings: Settings, device: str) -> BatchExtractor:
    """Return a function of a batch: white strokes on black, uint8 [height, width, 3].

    ControlNet's ``scribble_hed``: edges above half are thinned to ridges, blurred by 3 pixels of what the
    network sees, and all that is left of them becomes white. (Its ``scribble_xdog``, without a network, is
    not here; for a drawing without a network there is lineart_standard.)

    Args:
        settings: as for `oft.conditions.hed.load_hed`.
        device: torch device.

    Raises:
        CheckpointError: the weights are missing or damaged.
    """
    return load_edges("scribble", settings, device, scribble=True)


CONDITION = Condition(
    "scribble",
    shows="a sketch with a thick pen",
    title="Scribble to picture",
    explanation=(
        "The condition is a rough drawing with a thick pen, made of the outlines that a network sees in a "
        "picture. The model must draw a picture that it could be a sketch of."
    ),
    settings=AnnotatorSettings,
    load=load_scribble,
)
