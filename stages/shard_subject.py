"""Pack one subject (pictures, evaluation prompts) into webdataset shards."""

from __future__ import annotations

import sys

from oft.params import load_params
from oft.prepare.cards import subject_origin, write_card
from oft.prepare.drops import refuse_empty
from oft.prepare.subjects import evaluation_prompts, fill_prompt, pack_subject, subject_class
from oft.progress import count
from oft.shards.shards import write_shards
from oft.storage import atomic_folder, write_json
from oft.types import Counts
from stages.launch import paths
from stages.launch.arguments import known, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write data/shards/<subject>: its pictures as the train split, its prompts beside them, and counts."""
    options = parse(arguments, __doc__, "task")
    params = load_params()
    name = known("task", options.task, params.subjects)
    subject = params.subjects[name]
    dataset = params.datasets[subject.dataset]
    root = paths.raw(subject.dataset)
    class_name = subject.class_name or subject_class(root, subject.title)
    instance_prompt = fill_prompt(params.instance_prompt, params.identifier, class_name)
    tally = Counts()
    samples = pack_subject(
        subject.dataset,
        dataset,
        root,
        subject.subject,
        instance_prompt,
        params.resolution_px,
        params.shards.jpeg_quality,
        tally,
    )
    made_with = {
        "dataset": subject.dataset,
        "jpeg_quality": params.shards.jpeg_quality,
        "prepare": dataset.prepare.model_dump(),
        "resolution_px": params.resolution_px,
        "subject": subject.subject,
    }
    prompts = {
        "class": class_name,
        "class_prompt": fill_prompt(params.class_prompt, params.identifier, class_name),
        "identifier": params.identifier,
        "prompts": evaluation_prompts(root, subject, instance_prompt, class_name, params.identifier),
    }
    target = paths.shards(name)
    with atomic_folder(target) as partial:
        write_shards(
            count(samples, name, "pictures"),
            partial,
            "train",
            params.shards.samples_per_shard,
            params=made_with,
            counts=tally,
        )
        # Beside the out, so that it is there even if the shards are refused.
        write_json(paths.counts(target), {"train": tally.to_json()})
        refuse_empty(name, "train", {"shard_subject": tally})
        write_json(partial / "prompts.json", prompts)
        origin = subject_origin(
            subject.dataset, dataset, params.resolution_px, subject.title, params.identifier
        )
        write_card(partial, name, origin, {"acquire": paths.counts(root)})


if __name__ == "__main__":
    run(main, sys.argv[1:])
