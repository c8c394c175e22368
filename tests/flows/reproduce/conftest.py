"""What a training leaves, for the pages of a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def write_validation(run_folder: Path, steps: Iterable[int]) -> None:
    """Write validation grids as the stage `train` does: one grey each, told from the step."""
    folder = run_folder / "train" / "dvclive" / "plots" / "images"
    folder.mkdir(parents=True)
    for step in steps:
        Image.fromarray(np.full((48, 64, 3), step, np.uint8)).save(folder / f"validation-{step:08d}.png")
