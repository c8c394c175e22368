"""The pictures of docs/conditions.md: a row of sources and, below it, the conditions made of them.

python -m miniature.gallery docs/conditions                       # all that need no network
python -m miniature.gallery docs/conditions --networks hed depth  # with the models that params.yaml names
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from miniature.world.figures import render_figure
from miniature.world.rendered import Rendered
from miniature.world.scenes import render_scene
from oft.conditions import CONDITIONS, extract_batches, extract_condition
from oft.conditions.depth import near_is_white
from oft.datasets.landmarks import NUM_LANDMARKS
from oft.errors import UserError
from oft.params import load_params
from oft.pictures import encode_jpeg, prepare
from oft.storage import atomic_file

Picture = NDArray[np.uint8]
Rows = list[list[Picture]]

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
# Conditions are made at this size and shown at half of it, to keep the files small.
EXTRACTED_PX = 352
JPEG_QUALITY = 75


def write_gallery(folder: Path, networks: Sequence[str] = (), device: str = "cpu") -> None:
    """Write ``<condition>.jpg`` for each condition that needs no network, and for each one of ``networks``.

    Raises:
        CheckpointError: a network's weights are missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in [*_rows_without_network(), *_network_rows(networks, device)]:
        shown = [[np.asarray(Image.fromarray(picture).reduce(2)) for picture in row] for row in rows]
        sheet = np.concatenate([np.concatenate(row, axis=1) for row in shown])
        with atomic_file(folder / f"{name}.jpg") as partial:
            partial.write_bytes(encode_jpeg(sheet, JPEG_QUALITY))


def schematic_face(side_px: int) -> NDArray[np.float64]:
    """Return the 68 landmarks of a face of ellipses, [68, 2], looking straight out of a square picture."""

    def arc(
        x: float, y: float, width: float, height: float, start: float, stop: float, count: int
    ) -> list[float]:
        turns = np.linspace(start, stop, count) * np.pi
        return [value for turn in turns for value in (x + width * np.cos(turn), y - height * np.sin(turn))]

    coordinates = arc(0.5, 0.42, 0.32, 0.46, 1.05, 1.95, 17)  # jaw
    coordinates += arc(0.35, 0.37, 0.1, 0.06, 0.95, 0.05, 5) + arc(
        0.65, 0.37, 0.1, 0.06, 0.95, 0.05, 5
    )  # brows
    coordinates += [value for y in (0.42, 0.47, 0.52, 0.57) for value in (0.5, y)]  # bridge of the nose
    coordinates += arc(0.5, 0.6, 0.07, 0.03, 1.0, 2.0, 5)  # base of the nose
    for x in (0.35, 0.65):  # eyes: corner, lid, corner, lower lid
        coordinates += arc(x, 0.43, 0.07, 0.03, 1.0, -2 / 3, 6)
    coordinates += arc(0.5, 0.73, 0.14, 0.06, 1.0, -5 / 6, 12)  # lips, outside
    coordinates += arc(0.5, 0.73, 0.1, 0.02, 1.0, -3 / 4, 8)  # and inside
    return np.array(coordinates).reshape(NUM_LANDMARKS, 2) * side_px


def _rows_without_network() -> Iterator[tuple[str, Rows]]:
    photographs = [_photograph(name) for name in PHOTOGRAPHS]
    for name in ("canny", "canny_kornia", "lineart_standard"):
        yield name, [photographs, [extract_condition(CONDITIONS[name], photo, None) for photo in photographs]]
    for name, render in (("segmentation", render_scene), ("densepose", _render_figure)):
        rendered = [render(np.random.default_rng(seed), EXTRACTED_PX) for seed in range(len(PHOTOGRAPHS))]
        drawn = [extract_condition(CONDITIONS[name], each.image, each.labels) for each in rendered]
        yield name, [[each.image for each in rendered], drawn]
    yield "depth", _measured_depth()
    canvas = np.zeros((EXTRACTED_PX, EXTRACTED_PX, 3), dtype=np.uint8)
    yield "landmarks", [[extract_condition(CONDITIONS["landmarks"], canvas, schematic_face(EXTRACTED_PX))]]
    yield "circles", [[_circle((214, 92, 60), (46, 92, 150), -1)], [_circle((255, 255, 255), (0, 0, 0), 2)]]


def _network_rows(names: Sequence[str], device: str) -> Iterator[tuple[str, Rows]]:
    settings = load_params().conditions.model_dump() if names else {}
    photographs = [_photograph(name) for name in PHOTOGRAPHS]
    for name in names:
        condition = CONDITIONS[name]
        pictures = ((None, photo) for photo in photographs)
        made = [found for _, found in extract_batches(condition, settings[name], device, pictures)]
        yield name, [photographs, [condition.extract(found) for found in made] if condition.extract else made]


def _photograph(name: str) -> Picture:
    import skimage.data

    return np.asarray(prepare(Image.fromarray(getattr(skimage.data, name)()), EXTRACTED_PX))


def _measured_depth() -> Rows:
    """Return a photograph with the disparity that Middlebury measured; where there is none it is black."""
    import skimage.data

    left, _, disparity = skimage.data.stereo_motorcycle()
    measured = np.isfinite(disparity)
    depth = near_is_white(np.where(measured, disparity, disparity[measured].min()))
    return [[np.asarray(prepare(Image.fromarray(picture), EXTRACTED_PX))] for picture in (left, depth)]


def _render_figure(rng: np.random.Generator, width_px: int) -> Rendered:
    return render_figure(rng, width_px, width_px)


def _circle(colour: tuple[int, int, int], background: tuple[int, int, int], thickness: int) -> Picture:
    import cv2

    canvas = np.full((EXTRACTED_PX, EXTRACTED_PX, 3), background, dtype=np.uint8)
    return np.asarray(cv2.circle(canvas, (150, 190), 90, colour, thickness))


def main(arguments: Sequence[str]) -> None:
    """Write the gallery that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m miniature.gallery", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures go, for example docs/conditions")
    by_network = [name for name, condition in CONDITIONS.items() if condition.load is not None]
    parser.add_argument("--networks", nargs="+", choices=by_network, default=[], metavar="NAME")
    parser.add_argument("--device", default="cpu", help="where networks run: cpu or cuda")
    options = parser.parse_args(arguments)
    write_gallery(options.folder, options.networks, options.device)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
