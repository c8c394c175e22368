"""Pack one task (pictures, conditions, captions) into webdataset shards."""

from __future__ import annotations

import sys

from oft.params import load_params
from oft.prepare.cards import read_counts, task_origin, write_card
from oft.prepare.drops import refuse_empty
from oft.prepare.packing import pack_split
from oft.prepare.prepared import read_prepared
from oft.progress import count
from oft.shards.shards import write_shards
from oft.storage import atomic_folder, write_json
from oft.types import SPLITS, Counts
from stages.launch import paths
from stages.launch.arguments import known, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write data/shards/<task> with its index and counts."""
    options = parse(arguments, __doc__, "task")
    params = load_params()
    name = known("task", options.task, params.tasks)
    task = params.tasks[name]
    dataset = task.dataset
    counts = {split: Counts() for split in SPLITS}
    target = paths.shards(name)
    with atomic_folder(target) as partial:
        for split, tally in counts.items():
            prepared = read_prepared(paths.conditions(name), split)
            samples = pack_split(
                dataset,
                params.datasets[dataset].captions,
                prepared.samples,
                paths.captions(dataset),
                split,
                tally,
                params.seed,
            )
            write_shards(
                count(samples, f"{name} {split}", "pictures"),
                partial,
                split,
                params.shards.samples_per_shard,
                params=prepared.made_with,
                counts=tally,
            )
        # Beside the out, so that it is there even if the shards are refused.
        write_json(paths.counts(target), {split: tally.to_json() for split, tally in counts.items()})
        earlier = {
            "acquire": paths.counts(paths.raw(dataset)),
            "extract": paths.counts(paths.conditions(name)),
            "caption": paths.counts(paths.captions(dataset).parent),
        }
        refuse_empty(
            name,
            "val",
            {stage: read_counts(stage, path)["val"] for stage, path in earlier.items() if stage != "acquire"}
            | {"shard": counts["val"]},
        )
        origin = task_origin(
            dataset,
            params.datasets[dataset],
            params.resolution_px,
            task.condition,
            params.condition_settings(task),
            params.blip,
        )
        write_card(partial, name, origin, earlier)


if __name__ == "__main__":
    run(main, sys.argv[1:])
