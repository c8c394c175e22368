"""How fast pictures become shards, from JPEG files to finished tars: the stages against a plain loop.

``python -m benchmarks.data VARIANT FOLDER`` makes shards of a folder once and prints what that took, as JSON:
every measurement is a process of its own, without torch, as the stages are.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import round_order
from oft.captions.store import CaptionRecord, write_captions
from oft.conditions.canny import extract_canny
from oft.datasets import read
from oft.parallel import num_workers, parallel_map
from oft.pictures import encode_jpeg, load_picture
from oft.prepare.extraction import Recipe, extract_split, prepare_example
from oft.prepare.geometry import Geometry
from oft.prepare.packing import pack_split
from oft.prepare.prepared import read_prepared, write_prepared
from oft.progress import progress
from oft.settings.data import Dataset
from oft.shards.shards import encode_condition, write_shards
from oft.types import Counts, Example

if TYPE_CHECKING:
    from PIL import Image

NUM_PICTURES = 600
DISTINCT_PICTURES = 150
PICTURE_PX = (640, 480)
RESOLUTION_PX = 512
JPEG_QUALITY = 95
SAMPLES_PER_SHARD = 512
CANNY = {"low_threshold": 100, "high_threshold": 200}
CAPTIONS = "captions.jsonl"
PREPARED = "prepared.npz"
PHOTOGRAPHS = {  # files inside installed packages, which take seconds to import
    "skimage": ("data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/rocket.jpg"),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}


def run_stages(folder: Path, target: Path) -> None:
    """Do what the stages extract and shard do: all cores prepare samples, which then get their captions."""
    settings = Dataset.model_validate(
        {
            "reader": "image_folder",
            "num_train_images": 0,
            "num_val_images": 0,
            "acquire": {"source": "own", "mirror": None, "accept_licence": False},
            "prepare": {"fit": "crop", "flip": False},
            "captions": {"source": "own", "rule": "all", "template": "{caption}"},
        }
    )
    prepared, counts = target / "prepared", Counts()
    prepared.mkdir()
    samples = extract_split(settings, "canny", CANNY, folder, "train", RESOLUTION_PX, JPEG_QUALITY, counts)
    write_prepared(prepared, "train", samples, {})
    samples = read_prepared(prepared, "train").samples
    packed = pack_split("b", settings.captions, samples, folder / CAPTIONS, "train", Counts(), 0)
    write_shards(packed, target / "shards", "train", SAMPLES_PER_SHARD, counts=counts)


def run_preparation_alone(folder: Path, target: Path) -> None:
    """Do what extraction does to each picture, in as many processes, and discard the results."""
    recipe = Recipe(Geometry(RESOLUTION_PX), JPEG_QUALITY, "canny", CANNY)
    examples = read("image_folder", folder, "train", Counts())
    for _ in parallel_map(partial(_prepare_and_discard, recipe=recipe), examples, "benchmark"):
        pass


def _prepare_and_discard(example: Example, recipe: Recipe) -> None:
    prepare_example(example, recipe)


def run_floor(folder: Path, target: Path) -> None:
    """Do what no implementation can skip, in as many processes: decode each file, encode picture and edges.

    It encodes one prepared picture over and over: nothing is cropped, resized or searched for edges.
    """
    with np.load(folder / PREPARED) as prepared:
        floor = partial(_decode_and_encode, picture=prepared["picture"], edges=prepared["edges"])
    for _ in parallel_map(floor, read("image_folder", folder, "train", Counts()), "benchmark"):
        pass


def _decode_and_encode(example: Example, picture: NDArray[np.uint8], edges: NDArray[np.uint8]) -> None:
    load_picture(example.image)
    encode_jpeg(picture, JPEG_QUALITY)
    encode_condition(edges)


def run_plain_loop(folder: Path, target: Path) -> None:
    """Do the same with PIL and OpenCV in a plain loop: one picture after the other, into one tar."""
    import cv2
    from PIL import Image

    captions = {}
    for line in (folder / CAPTIONS).read_text().splitlines():
        record = json.loads(line)
        captions[record["key"]] = record["captions"]
    scratch = target / "picture"
    with tarfile.open(target / "shard.tar", "w") as archive:
        for path in sorted((folder / "train").iterdir()):
            image = Image.open(path).convert("RGB")
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.crop((left, top, left + side, top + side))
            square = square.resize((RESOLUTION_PX, RESOLUTION_PX), Image.Resampling.LANCZOS)
            edges = cv2.Canny(np.array(square), CANNY["low_threshold"], CANNY["high_threshold"])
            key = f"train-{path.stem}"
            square.save(scratch, "JPEG", quality=JPEG_QUALITY, subsampling=0)
            archive.add(scratch, f"{key}.jpg")
            Image.fromarray(edges).save(scratch, "PNG")
            archive.add(scratch, f"{key}.cond.png")
            scratch.write_text(json.dumps({"key": key, "captions": captions[key]}))
            archive.add(scratch, f"{key}.json")


VARIANTS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "stages": ("extract and shard", run_stages),
    "plain": ("plain loop, one process", run_plain_loop),
    "work": ("work on pictures alone", run_preparation_alone),
    "floor": ("decode and encode alone", run_floor),
}


def make_pictures(folder: Path, count: int) -> None:
    """Write JPEG photographs of 640 x 480 with captions: crops of those that come with installed libraries.

    Beyond DISTINCT_PICTURES they are the same files under further names. Beside them lies the first one as
    the stages prepare it, with its edges.
    """
    photographs = _photographs()
    rng = np.random.default_rng(0)
    (folder / "train").mkdir(parents=True)
    (folder / "val").mkdir()  # so that no picture of train is held out
    for number in range(count):
        path = folder / "train" / f"{number:06d}.jpg"
        if number >= DISTINCT_PICTURES:
            os.link(folder / "train" / f"{number % DISTINCT_PICTURES:06d}.jpg", path)
            continue
        photograph = photographs[number % len(photographs)]
        width = int(rng.uniform(0.6, 1) * min(photograph.width, photograph.height * 4 / 3))
        height = width * 3 // 4
        left = int(rng.integers(photograph.width - width + 1))
        top = int(rng.integers(photograph.height - height + 1))
        cut = photograph.crop((left, top, left + width, top + height)).resize(PICTURE_PX)
        cut.save(path, quality=92)
    picture = np.asarray(Geometry(RESOLUTION_PX).picture(load_picture(folder / "train" / "000000.jpg")))
    np.savez(folder / PREPARED, picture=picture, edges=extract_canny(picture, **CANNY))
    keys = [f"train-{number:06d}" for number in range(count)]
    write_captions(folder / CAPTIONS, [CaptionRecord(key, "train", ("a photograph",)) for key in keys])


def _photographs() -> list[Image.Image]:
    return [
        load_picture(Path(folder) / name)
        for package, names in PHOTOGRAPHS.items()
        if (spec := find_spec(package)) is not None
        for folder in spec.submodule_search_locations or ()
        for name in names
    ]


def measure_data(rounds: int, count: int = NUM_PICTURES) -> dict[str, Any]:
    """Return what each variant took, measured in turn: wall seconds, CPU seconds, peak memory."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    with (
        TemporaryDirectory() as scratch,
        progress(total=rounds * len(VARIANTS), description="data", unit="run") as bar,
    ):
        folder = Path(scratch) / "pictures"
        make_pictures(folder, count)
        for index in range(rounds):
            for name in round_order(list(VARIANTS), index):
                runs[name].append(_run_in_subprocess(name, folder))
                bar.advance()
    seconds = {name: [run["seconds"] for run in taken] for name, taken in runs.items()}
    plain = min(seconds["plain"])
    rows = [
        {
            "variant": name,
            "title": title,
            "run_seconds": seconds[name],
            "min_seconds": min(seconds[name]),
            "median_seconds": statistics.median(seconds[name]),
            "pictures_per_second": count / min(seconds[name]),
            "times_plain": plain / min(seconds[name]),
            "cpu_seconds": min(run["cpu_seconds"] for run in runs[name]),
            "peak_mib": max(run["peak_mib"] for run in runs[name]),
        }
        for name, (title, _) in VARIANTS.items()
    ]
    return {"num_pictures": count, "num_workers": num_workers(), "rows": rows}


def _run_in_subprocess(name: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.data", name, str(folder)]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    taken: dict[str, float] = json.loads(finished.stdout)
    return taken


def main(arguments: Sequence[str]) -> None:
    """Run one variant once; print its wall seconds, its CPU seconds and its peak memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("variant", choices=list(VARIANTS))
    parser.add_argument("folder", type=Path, help="made by `make_pictures`")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(dir=options.folder.parent) as target:
        start, start_cpu = time.perf_counter(), time.process_time()
        VARIANTS[options.variant][1](options.folder, Path(target))
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds + workers.ru_utime + workers.ru_stime,
        "peak_mib": max(peak_resident_kib(), workers.ru_maxrss) / 1024,
    }
    print(json.dumps(taken))


def peak_resident_kib() -> int:
    """Return this process's peak resident memory; getrusage would count its parent's before the exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main(sys.argv[1:])
