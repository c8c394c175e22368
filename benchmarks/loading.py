"""How fast batches come from shards, against a folder of the same files, and what memory reading takes.

``python -m benchmarks.loading FOLDER SAMPLES ...`` reads shards in a process of its own and prints its memory
after so many samples, as JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.measuring import interleave
from oft.pictures import encode_jpeg, encode_png
from oft.progress import progress
from oft.shards.loader import ShardReader
from oft.shards.order import BatchOrder
from oft.shards.prefetch import prefetch
from oft.shards.shards import Sample, write_shards
from oft.shards.store import ShardFolder, ShardSpan
from oft.training.dataset import TrainingSet
from oft.training.encoded import Encoded

BATCH_SIZE = 16
BATCHES = 16
NUM_PICTURES = 64
PICTURE_PX = 512
JPEG_QUALITY = 95
SAMPLES_PER_SHARD = 16
WORKERS = (1, 2)
MEMORY_PX = 64
MEMORY_SAMPLES_PER_SHARD = 2_000
MEMORY_AFTER = (1_000, 50_000)
SEED = 0
MIB = 1 << 20


class FolderSet(Dataset[tuple[Tensor, Tensor, str]]):
    """Pictures, conditions and captions of a folder, read in the plainest way with torch and PIL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.captions = json.loads((folder / "captions.json").read_text())
        self.keys = sorted(self.captions)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, str]:
        key = self.keys[number]
        picture, condition = (self.read(f"{key}{suffix}") for suffix in (".jpg", ".cond.png"))
        return picture, condition, self.captions[key]

    def read(self, name: str) -> Tensor:
        with Image.open(self.folder / name) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def make_samples(count: int, size_px: int, distinct: int) -> Iterator[Sample]:
    """Yield photographs with their edges; beyond ``distinct`` they are the same under further keys."""
    import cv2
    from skimage import data

    photographs = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    rng = np.random.default_rng(0)
    encoded = []
    for number in range(distinct):
        photograph = Image.fromarray(photographs[number % len(photographs)])
        side = int(rng.uniform(0.5, 1) * min(photograph.size))
        left, top = (int(rng.integers(extent - side + 1)) for extent in photograph.size)
        picture = np.asarray(photograph.crop((left, top, left + side, top + side)).resize((size_px, size_px)))
        edges = np.asarray(cv2.Canny(picture, 100, 200), np.uint8)[..., None].repeat(3, axis=2)
        encoded.append((encode_jpeg(picture, JPEG_QUALITY), encode_png(edges)))
    for number in range(count):
        picture_bytes, edges_bytes = encoded[number % distinct]
        yield Sample(f"{number:06d}", picture_bytes, edges_bytes, meta={"captions": ["a photograph"]})


def write_folder(samples: Sequence[Sample], folder: Path) -> None:
    """Write samples as a folder of files."""
    folder.mkdir()
    for sample in samples:
        (folder / f"{sample.key}.jpg").write_bytes(sample.image)
        (folder / f"{sample.key}.cond.png").write_bytes(sample.condition or b"")
    captions = {sample.key: sample.meta["captions"][0] for sample in samples}
    (folder / "captions.json").write_text(json.dumps(captions))


def open_shards(folder: Path) -> TrainingSet:
    """Return the samples as training reads them, pictures and all."""
    return TrainingSet(ShardReader(ShardFolder(folder), "train"), "train", Encoded(), with_condition=True)


def batches_of_shards(data: TrainingSet, num_workers: int, batches: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pictures and conditions, uint8 [b, 3, h, w], as training gets them."""
    order = BatchOrder(data.shards, BATCH_SIZE, SEED)
    for loaded in prefetch(data.load, map(order, range(batches)), num_workers):
        assert loaded.pictures is not None and loaded.conditions is not None
        yield loaded.pictures, loaded.conditions


def batches_of_folder(data: FolderSet, num_workers: int, batches: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the same from the folder, by torch's DataLoader over single samples, in the same order."""
    order = BatchOrder([ShardSpan(range(len(data)))], BATCH_SIZE, SEED)
    sampler = [order(step).tolist() for step in range(batches)]
    for pictures, conditions, _ in DataLoader(data, batch_sampler=sampler, num_workers=num_workers):
        yield pictures, conditions


def measure_loading(
    rounds: int, batches: int = BATCHES, memory_after: Sequence[int] = MEMORY_AFTER
) -> dict[str, Any]:
    """Return how many samples a second come from shards and from a folder, and the memory that reading takes.

    Raises:
        RuntimeError: a variant failed.
    """
    with TemporaryDirectory() as scratch:
        root = Path(scratch)
        samples = list(make_samples(NUM_PICTURES, PICTURE_PX, NUM_PICTURES))
        write_shards(samples, root / "shards", "train", SAMPLES_PER_SHARD)
        write_folder(samples, root / "folder")
        shards, folder = open_shards(root / "shards"), FolderSet(root / "folder")
        actions: dict[str, Callable[[], object]] = {}
        for workers in WORKERS:
            actions[f"shards, {workers}"] = partial(_exhaust, batches_of_shards, shards, workers, batches)
            actions[f"folder, {workers}"] = partial(_exhaust, batches_of_folder, folder, workers, batches)
        with progress(total=rounds * len(actions), description="loading", unit="run") as bar:
            seconds, failures = interleave(actions, rounds, on_step=lambda name: bar.advance())
        if failures:
            raise RuntimeError(f"loading: {failures}")
        small = make_samples(max(memory_after), MEMORY_PX, NUM_PICTURES)
        write_shards(small, root / "small", "train", MEMORY_SAMPLES_PER_SHARD)
        memory = _memory_in_subprocess(root / "small", memory_after)
    count = batches * BATCH_SIZE
    rows = [
        {
            "source": name.partition(", ")[0],
            "workers": int(name.partition(", ")[2]),
            "run_seconds": taken,
            "samples_per_second": count / min(taken),
            "median_samples_per_second": count / statistics.median(taken),
        }
        for name, taken in seconds.items()
    ]
    return {"num_samples": count, "batch_size": BATCH_SIZE, "rows": rows, "memory": memory}


def _exhaust(batches: Callable[..., Iterator[Any]], *arguments: Any) -> None:
    for _ in batches(*arguments):
        pass


def _memory_in_subprocess(folder: Path, after: Sequence[int]) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.loading", str(folder), *map(str, after)]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    memory: list[dict[str, float]] = json.loads(finished.stdout)
    return memory


def main(arguments: Sequence[str]) -> None:
    """Read shards in the order of training and print the resident memory on the way."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("folder", type=Path, help="of shards")
    parser.add_argument("samples", type=int, nargs="+", help="after how many samples to look, rising")
    options = parser.parse_args(arguments)
    data = open_shards(options.folder)
    order = BatchOrder(data.shards, BATCH_SIZE, SEED)
    memory = []
    step = 0
    for num_samples in options.samples:
        while step * BATCH_SIZE < num_samples:
            data.load(order(step))
            step += 1
        memory.append({"num_samples": num_samples, "resident_mib": resident_bytes() / MIB})
    print(json.dumps(memory))


def resident_bytes() -> int:
    """Return the resident memory of this process, as Linux reports it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1:])
