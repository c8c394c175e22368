"""Caption one data set: its own captions, BLIP's, or a prompt file of the reference release."""

from __future__ import annotations

import sys

from oft.data.captioning import caption_dataset
from oft.data.captions import write_captions
from oft.params import load_params
from oft.progress import count
from oft.storage import write_json
from oft.types import SPLITS, Counts
from stages import paths
from stages.arguments import known, parse
from stages.entry import run


def main(arguments: list[str]) -> None:
    """Write data/captions/<dataset>/captions.jsonl and what was seen, kept and dropped."""
    options = parse(arguments, __doc__, "dataset")
    params = load_params()
    dataset = params.datasets[known("dataset", options.dataset, params.datasets)]
    device = "cpu"
    if dataset.captions.source == "blip":
        from oft.models.device import choose_device

        device = choose_device()
    counts = {split: Counts() for split in SPLITS}
    records = caption_dataset(dataset, params.blip, paths.raw(options.dataset), counts, device)
    target = paths.captions(options.dataset)
    write_captions(target, count(records, f"{options.dataset} captions", "pictures"))
    write_json(paths.counts(target.parent), {split: tally.to_json() for split, tally in counts.items()})


if __name__ == "__main__":
    run(main, sys.argv[1:])
