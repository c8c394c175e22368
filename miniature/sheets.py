"""Numbered sheets of pictures to look at: what the base draws, and what an adapter draws of a subject.

python -m miniature.sheets data/models/miniature/base docs/miniature/base.jpg
python -m miniature.sheets runs/subject_robot_toy/oft/samples docs/miniature/subject.jpg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from miniature.pool import render_pool
from miniature.quality import sample_prompts, single_things
from oft.errors import DataError, UserError
from oft.pictures import encode_jpeg
from oft.report.grids import font
from oft.shards.samples import read_samples
from oft.storage import atomic_file

Drawn = tuple[str, NDArray[np.uint8]]
"""A prompt and the picture drawn of it, uint8 [height, width, 3]."""

NUM_PICTURES = 20
COLUMNS = 5
# As large as a person needs them to tell what they show.
SHOWN_PX = 160
MARGIN_PX = 6
JPEG_QUALITY = 85
# Neither networks are trained on pictures of this seed nor is quality measured on them.
PROMPTS_SEED = 2000


def draw_base(folder: Path) -> list[Drawn]:
    """Return pictures that the base draws of captions of single things it never saw, drawn at random."""
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    things = single_things(render_pool("object", 4 * NUM_PICTURES, PROMPTS_SEED))[:NUM_PICTURES]
    prompts = [thing.caption for thing in things]
    return list(zip(prompts, sample_prompts(pipeline, prompts), strict=True))


def read_run(folder: Path) -> list[Drawn]:
    """Return the first picture that a run drew of each of its prompts, from its folder of samples."""
    drawn: dict[str, NDArray[np.uint8]] = {}
    for request, picture in read_samples(folder, len(list(folder.glob("*.tar")))):
        drawn.setdefault(request.prompt, picture)
    return list(drawn.items())[:NUM_PICTURES]


def lay_out(pictures: Sequence[NDArray[np.uint8]]) -> Image.Image:
    """Return pictures in rows, numbered from 1."""
    step = SHOWN_PX + MARGIN_PX
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * step + MARGIN_PX, rows * step + MARGIN_PX), "white")
    pen = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        left, top = (MARGIN_PX + place * step for place in (number % COLUMNS, number // COLUMNS))
        shown = Image.fromarray(picture).resize((SHOWN_PX, SHOWN_PX), Image.Resampling.LANCZOS)
        sheet.paste(shown, (left, top))
        place = (left + 4, top + 2)
        pen.text(place, str(number + 1), "white", font(bold=True), stroke_width=2, stroke_fill="black")
    return sheet


def main(arguments: Sequence[str]) -> None:
    """Write the sheet that the command line asks for and print its prompts."""
    parser = argparse.ArgumentParser(prog="python -m miniature.sheets", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a base in diffusers' layout, or a run's folder of samples")
    parser.add_argument("target", type=Path, help="the JPEG file to write")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        raise DataError(f"{options.folder}: there is no such folder; `make repro` makes bases and samples")
    is_base = (options.folder / "model_index.json").exists()
    drawn = draw_base(options.folder) if is_base else read_run(options.folder)
    options.target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(options.target) as partial:
        sheet = lay_out([picture for _, picture in drawn])
        partial.write_bytes(encode_jpeg(np.asarray(sheet), JPEG_QUALITY))
    for number, (prompt, _) in enumerate(drawn, start=1):
        print(f"{number}. {prompt}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
