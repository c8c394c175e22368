"""Make the conditioning images of one task, at the run's size."""

from __future__ import annotations

import sys

from oft.data.conditions import CONDITIONS
from oft.data.conditions.store import write_conditions
from oft.data.extraction import extract_split
from oft.params import gives_annotation, load_params
from oft.progress import count
from oft.storage import atomic_folder, write_json
from oft.types import SPLITS, Counts
from stages import paths
from stages.arguments import known, parse
from stages.entry import run


def main(arguments: list[str]) -> None:
    """Write data/conditions/<task>/{train,val}.tar and what was seen, kept and dropped."""
    options = parse(arguments, __doc__, "task")
    params = load_params()
    task = params.tasks[known("task", options.task, params.tasks)]
    dataset = params.datasets[task.dataset]
    settings = getattr(params.conditions, task.condition).model_dump()
    annotated = gives_annotation(dataset.reader, task.condition)
    device = "cpu"
    if CONDITIONS[task.condition].needs_network(annotated):
        from oft.models.device import choose_device, make_deterministic

        device = choose_device()
        make_deterministic()
    counts = {split: Counts() for split in SPLITS}
    target = paths.conditions(options.task)
    with atomic_folder(target) as partial:
        for split in SPLITS:
            extracted = extract_split(
                dataset,
                task.condition,
                settings,
                paths.raw(task.dataset),
                split,
                params.resolution_px,
                counts[split],
                device,
            )
            write_conditions(
                partial / f"{split}.tar", count(extracted, f"{options.task} {split}", "pictures")
            )
    write_json(paths.counts(target), {split: tally.to_json() for split, tally in counts.items()})


if __name__ == "__main__":
    run(main, sys.argv[1:])
