"""Sets in the hub's layout whose conditioning pictures are depth maps."""

from __future__ import annotations

from oft.datasets.annotations import DEPTH_MAP
from oft.datasets.hub import read_hub
from oft.datasets.reader import WORLD, Reader

READER = Reader(
    "hub_depth",
    "sets of the Hugging Face hub with depth maps",
    read_hub,
    brings=(DEPTH_MAP,),
    sources=(WORLD,),
)
