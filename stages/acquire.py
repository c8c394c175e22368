"""Place a data set in its official layout: download, render, take bundled photographs, or copy your own."""

from __future__ import annotations

import sys
from pathlib import Path

from oft.acquire.folder import count_layout, place_folder, place_remote
from oft.datasets.reader import RENDERED_SOURCES
from oft.params import load_params
from oft.storage import atomic_folder, is_remote, write_json
from oft.types import SPLITS
from stages.launch import paths
from stages.launch.arguments import known, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write data/raw/<dataset> and count what a reader finds there."""
    options = parse(arguments, __doc__, "dataset")
    params = load_params()
    dataset = params.datasets[known("dataset", options.dataset, params.datasets)]
    target = paths.raw(options.dataset)
    source = dataset.acquire.source
    if source in RENDERED_SOURCES:
        from miniature.world.acquire import render_dataset

        with atomic_folder(target) as partial:
            render_dataset(
                source,
                dataset.reader,
                partial,
                seed=params.seed,
                num_train_images=dataset.num_train_images,
                num_val_images=dataset.num_val_images,
                size_px=params.resolution_px,
            )
    elif source == "photos":
        from oft.acquire.photos import write_photos

        write_photos(target)
    elif source == "download":
        from oft.acquire.official import download_dataset

        download_dataset(
            options.dataset, dataset.reader, dataset.acquire, target, paths.downloads(options.dataset)
        )
    elif is_remote(source):
        place_remote(source, target)
    else:
        place_folder(Path(source), target)
    counts = count_layout(dataset.reader, target)
    write_json(paths.counts(target), counts)
    print(f"{target}: " + ", ".join(f"{counts[split]['kept']} {split}" for split in SPLITS) + " pictures")


if __name__ == "__main__":
    run(main, sys.argv[1:])
