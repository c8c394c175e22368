"""Prompts for subjects, as google/dreambooth writes them, of things the miniature world can draw.

``{0}`` stands for the subject's rare token, ``{1}`` for its class word.
"""

from __future__ import annotations

_PLACES = (
    "on the grass",
    "in the snow",
    "on the sand",
    "on the road",
    "on the water",
    "under an orange sky",
    "with a mountain in the background",
    "with the sea in the background",
    "on a white table",
    "on a red table",
    "on a green table",
    "on a blue table",
    "on a brown table",
    "in front of a red wall",
    "in front of a pink wall",
    "in front of a purple wall",
    "in front of a blue wall",
    "in front of a green wall",
    "in front of a yellow wall",
)
_COLOURS = ("red", "purple", "yellow", "blue", "green", "white")
_LIVE_PLACES = (
    "on the grass with a mountain in the background",
    "on the sand with the sea in the background",
    "on the grass under an orange sky",
    "in the snow under a grey sky",
    "on the road under a blue sky",
    "on the water under a blue sky",
)

OBJECT_PROMPTS: tuple[str, ...] = (
    *(f"a {{0}} {{1}} {place}" for place in _PLACES),
    *(f"a {colour} {{0}} {{1}}" for colour in _COLOURS),
)
LIVE_PROMPTS: tuple[str, ...] = (*(f"a {{0}} {{1}} {place}" for place in (*_PLACES, *_LIVE_PLACES)),)
