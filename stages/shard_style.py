"""Pack one style (pictures, captions, the captions to draw for) into webdataset shards."""

from __future__ import annotations

import shutil
import sys

from oft.params import load_params
from oft.prepare.cards import read_counts, style_origin, write_card
from oft.prepare.drops import refuse_empty
from oft.prepare.prepared import read_prepared, write_prepared
from oft.prepare.styles import pack_style, style_prompts
from oft.progress import count
from oft.shards.shards import write_shards
from oft.storage import atomic_folder, write_json
from oft.types import SPLITS, Counts, Split
from stages.launch import paths
from stages.launch.arguments import known, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write data/shards/<style>: both splits, prompts.json with the captions to draw for, and counts."""
    options = parse(arguments, __doc__, "task")
    params = load_params()
    name = known("task", options.task, params.styles)
    dataset_name = params.styles[name].dataset
    dataset = params.datasets[dataset_name]
    root = paths.raw(dataset_name)
    captions_file = paths.captions(dataset_name)
    made_with = {
        "dataset": dataset_name,
        "jpeg_quality": params.shards.jpeg_quality,
        "prepare": dataset.prepare.model_dump(),
        "resolution_px": params.resolution_px,
    }
    counts = {split: Counts() for split in SPLITS}
    captions: dict[Split, dict[str, str]] = {"train": {}, "val": {}}
    target = paths.shards(name)
    with atomic_folder(target) as partial:
        # Shards hold pictures of one size side by side.
        by_size = partial / "by_size"
        by_size.mkdir()
        for split, tally in counts.items():
            samples = pack_style(
                dataset_name,
                dataset,
                root,
                captions_file,
                split,
                params.resolution_px,
                params.shards.jpeg_quality,
                tally,
                params.seed,
                captions[split],
            )
            write_prepared(by_size, split, count(samples, f"{name} {split}", "pictures"), made_with)
            write_shards(
                read_prepared(by_size, split).samples,
                partial,
                split,
                params.shards.samples_per_shard,
                params=made_with,
                counts=tally,
            )
        shutil.rmtree(by_size)
        # Beside the out, so that it is there even if the shards are refused.
        write_json(paths.counts(target), {split: tally.to_json() for split, tally in counts.items()})
        earlier = {"acquire": paths.counts(root), "caption": paths.counts(captions_file.parent)}
        for split, tally in counts.items():
            described = read_counts("caption", earlier["caption"])[split]
            refuse_empty(name, split, {"caption": described, "shard_style": tally})
        prompts = style_prompts(captions["train"], captions["val"], params.seed)
        seen = sorted(prompts.keys() & captions["train"].keys())
        write_json(partial / "prompts.json", {"prompts": prompts, "seen": seen})
        origin = style_origin(dataset_name, dataset, params.resolution_px, params.blip)
        write_card(partial, name, origin, earlier)


if __name__ == "__main__":
    run(main, sys.argv[1:])
