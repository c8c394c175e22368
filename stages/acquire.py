"""Place one data set in its official layout: render it, take the bundled photographs, or copy your folder."""

from __future__ import annotations

import sys
from pathlib import Path

from oft.data.acquire import count_layout, place_folder, write_photos
from oft.params import load_params
from oft.storage import atomic_folder, write_json
from oft.types import SPLITS
from stages import paths
from stages.arguments import known, parse
from stages.entry import run


def main(arguments: list[str]) -> None:
    """Write data/raw/<dataset> and count what a reader finds there."""
    options = parse(arguments, __doc__, "dataset")
    params = load_params()
    dataset = params.datasets[known("dataset", options.dataset, params.datasets)]
    target = paths.raw(options.dataset)
    if dataset.acquire.source == "world":
        from oft.data.world.acquire import render_dataset

        with atomic_folder(target) as partial:
            render_dataset(
                dataset.reader,
                partial,
                seed=params.seed,
                num_train_images=dataset.num_train_images,
                num_val_images=dataset.num_val_images,
                size_px=params.resolution_px,
            )
    elif dataset.acquire.source == "photos":
        write_photos(target)
    else:
        place_folder(Path(dataset.acquire.source), target)
    counts = count_layout(dataset.reader, target)
    write_json(paths.counts(target), counts)
    print(f"{target}: " + ", ".join(f"{counts[split]['kept']} {split}" for split in SPLITS) + " pictures")


if __name__ == "__main__":
    run(main, sys.argv[1:])
