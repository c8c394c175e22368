"""Pack one task (picture, condition, captions) or one subject (pictures, prompts) into webdataset shards."""

from __future__ import annotations

import sys
from pathlib import Path

from oft.data.cards import write_card
from oft.data.packing import pack_split, pack_subject, subject_class, subject_prompts
from oft.data.shards import write_shards
from oft.params import Params, load_params
from oft.progress import count
from oft.storage import atomic_folder, write_json
from oft.types import SPLITS, Counts, Split
from stages import paths
from stages.arguments import known_task, parse
from stages.entry import run


def main(arguments: list[str]) -> None:
    """Write data/shards/<task> with its index and counts."""
    options = parse(arguments, __doc__, "task")
    params = load_params()
    name = known_task(params, options.task)
    target = paths.shards(name)
    with atomic_folder(target) as partial:
        counts = (
            shard_subject(params, name, partial)
            if name in params.subjects
            else shard_task(params, name, partial)
        )
        write_card(partial, params, name, earlier_counts(params, name))
    write_json(paths.counts(target), {split: tally.to_json() for split, tally in counts.items()})


def earlier_counts(params: Params, name: str) -> dict[str, Path]:
    """Return by stage the counts of what the shards were made from."""
    if name in params.subjects:
        return {"acquire": paths.counts(paths.raw(params.subjects[name].dataset))}
    dataset = params.tasks[name].dataset
    return {
        "acquire": paths.counts(paths.raw(dataset)),
        "extract": paths.counts(paths.conditions(name)),
        "caption": paths.counts(paths.captions(dataset).parent),
    }


def shard_task(params: Params, name: str, folder: Path) -> dict[Split, Counts]:
    """Write both splits of a task and return what was counted."""
    task = params.tasks[name]
    counts = {split: Counts() for split in SPLITS}
    for split, tally in counts.items():
        samples = pack_split(
            task.dataset,
            params.datasets[task.dataset],
            paths.raw(task.dataset),
            paths.conditions(name) / f"{split}.tar",
            paths.captions(task.dataset),
            split,
            params.resolution_px,
            params.shards.jpeg_quality,
            tally,
            params.seed,
        )
        described = {
            "condition": task.condition,
            "dataset": task.dataset,
            "resolution_px": params.resolution_px,
        }
        write_shards(
            count(samples, f"{name} {split}", "pictures"),
            folder,
            split,
            params.shards.samples_per_shard,
            params=described,
            counts=tally,
        )
    return counts


def shard_subject(params: Params, name: str, folder: Path) -> dict[Split, Counts]:
    """Write a subject's pictures as the train split, its prompts beside them, and return what was counted."""
    subject = params.subjects[name]
    root = paths.raw(subject.dataset)
    tally = Counts()
    samples = pack_subject(
        subject.dataset,
        params.datasets[subject.dataset],
        root,
        subject.subject,
        params.identifier,
        params.resolution_px,
        params.shards.jpeg_quality,
        tally,
    )
    described = {
        "dataset": subject.dataset,
        "resolution_px": params.resolution_px,
        "subject": subject.subject,
    }
    write_shards(
        count(samples, name, "pictures"),
        folder,
        "train",
        params.shards.samples_per_shard,
        params=described,
        counts=tally,
    )
    write_json(
        folder / "prompts.json",
        {
            "class": subject_class(root, subject.subject),
            "identifier": params.identifier,
            "prompts": subject_prompts(root, subject.subject, params.identifier),
        },
    )
    return {"train": tally}


if __name__ == "__main__":
    run(main, sys.argv[1:])
