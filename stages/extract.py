"""Bring the pictures of one task to the run's size and make their conditioning images."""

from __future__ import annotations

import sys

from oft.conditions import CONDITIONS
from oft.datasets import READERS
from oft.params import load_params
from oft.prepare.extraction import extract_split
from oft.prepare.prepared import write_prepared
from oft.progress import count
from oft.storage import atomic_folder, write_json
from oft.types import SPLITS, Counts
from stages.launch import paths
from stages.launch.arguments import known, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write data/conditions/<task> (pictures, conditions, id maps) and what was seen, kept and dropped."""
    options = parse(arguments, __doc__, "task")
    params = load_params()
    task = params.tasks[known("task", options.task, params.tasks)]
    dataset = params.datasets[task.dataset]
    settings = params.condition_settings(task)
    condition = CONDITIONS[task.condition]
    device = "cpu"
    if condition.needs_network(READERS[dataset.reader].gives(condition.annotation)):
        from oft.models.device import choose_device, make_deterministic

        device = choose_device()
        make_deterministic()
    counts = {split: Counts() for split in SPLITS}
    made_with = {
        "condition": task.condition,
        "condition_settings": settings,
        "dataset": task.dataset,
        "jpeg_quality": params.shards.jpeg_quality,
        "prepare": dataset.prepare.model_dump(),
        "resolution_px": params.resolution_px,
    }
    target = paths.conditions(options.task)
    with atomic_folder(target) as partial:
        for split in SPLITS:
            samples = extract_split(
                dataset,
                task.condition,
                settings,
                paths.raw(task.dataset),
                split,
                params.resolution_px,
                params.shards.jpeg_quality,
                counts[split],
                device=device,
            )
            shown = count(samples, f"{options.task} {split}", "pictures")
            write_prepared(partial, split, shown, made_with)
    write_json(paths.counts(target), {split: tally.to_json() for split, tally in counts.items()})


if __name__ == "__main__":
    run(main, sys.argv[1:])
