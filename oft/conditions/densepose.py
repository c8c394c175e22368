"""DensePose part maps, coloured as ControlNet's DensePose models expect them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer, UInt8

from oft.conditions.condition import Condition
from oft.datasets.annotations import DENSEPOSE_PARTS
from oft.errors import DataError

NUM_PARTS = 24

# Part p has viridis at level trunc(p * 255 / 24), as DensePose's own visualiser colours part indices; the
# background is viridis at 0, not black. One hexadecimal RGB value a part, 0 to 24.
_COLOURS = """
440154 471063 481f70 472c7a 443983 404688 3b518b 365d8d 31688e 2c718e 287c8e 25858e 21908d
1f9a8a 20a386 27ad81 35b779 46c06f 5cc863 73d056 8ed645 aadc32 c5e021 e2e418 fde725
"""

PART_COLOURS: UInt8[np.ndarray, "25 3"] = np.array(
    [tuple(bytes.fromhex(colour)) for colour in _COLOURS.split()], dtype=np.uint8
)
PART_COLOURS.setflags(write=False)

# 1 and 2 are the back and the front of the torso; from 3 on the parts come in pairs, one of each side.
MIRRORED_PARTS: Integer[np.ndarray, " 25"] = np.array(
    [0, 1, 2, *(part + 1 if part % 2 else part - 1 for part in range(3, NUM_PARTS + 1))]
)
MIRRORED_PARTS.setflags(write=False)


def extract_densepose(parts: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the coloured map, uint8 [height, width, 3].

    Args:
        parts: DensePose part ids [height, width], 0 = background, 1 to 24 = the body's parts.

    Raises:
        DataError: an id is out of range.
    """
    highest = int(parts.max(initial=0))
    if highest > NUM_PARTS:
        raise DataError(
            f"DensePose's part ids run from 0 to {NUM_PARTS}, got {highest}; give the channel that holds the "
            "ids (the third of DensePose's maps)"
        )
    return np.asarray(PART_COLOURS[parts])


CONDITION = Condition(
    "densepose",
    shows="parts of the body",
    title="Body-part map to picture",
    explanation=(
        "The condition is a map of a clothed figure: each colour stands for one part of the body's surface. "
        "The model must draw a person who stands exactly like that."
    ),
    annotation=DENSEPOSE_PARTS,
    extract=extract_densepose,
    keeps_labels=True,
    mirrored=MIRRORED_PARTS,
)
