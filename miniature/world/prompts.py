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
    "in a yellow field",
    "on a table",
    "on a wooden floor",
    "in a room",
    "on a pink rug",
    "on a purple rug",
    "on a green table",
    "in front of a brick wall",
    "in front of a blue house",
    "with a mountain in the background",
    "with the sea in the background",
    "with a tree in the background",
    "with a city in the background",
    "under an orange evening sky",
)
_COLOURS = ("red", "purple", "yellow", "blue", "green", "white")
_LIVE_PLACES = (
    "on a blue rug",
    "on a red rug",
    "on a white table",
    "on a red table",
    "in front of a red house",
    "in front of a yellow house",
)

OBJECT_PROMPTS: tuple[str, ...] = (
    *(f"a {{0}} {{1}} {place}" for place in _PLACES),
    *(f"a {colour} {{0}} {{1}}" for colour in _COLOURS),
)
LIVE_PROMPTS: tuple[str, ...] = (*(f"a {{0}} {{1}} {place}" for place in (*_PLACES, *_LIVE_PLACES)),)
