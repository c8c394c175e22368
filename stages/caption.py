"""Caption one data set: its own captions, BLIP's, or a prompt file of the reference release.

An interrupted captioning by BLIP goes on from its last batch.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

from oft.captions.captioning import FindCaptions, caption_dataset, captions_from
from oft.captions.store import write_captions
from oft.params import Params, load_params
from oft.progress import count
from oft.storage import write_json
from oft.types import SPLITS, Counts
from stages.launch import paths
from stages.launch.arguments import known, parse
from stages.launch.entry import run
from stages.launch.sources import source_closure


def main(arguments: list[str]) -> None:
    """Write data/captions/<dataset>/captions.jsonl and what was seen, kept and dropped."""
    options = parse(arguments, __doc__, "dataset")
    params = load_params()
    name = known("dataset", options.dataset, params.datasets)
    settings = params.datasets[name]
    source, scratch = settings.captions.source, None
    if source == "blip":
        find, scratch = blip_describer(params, name)
    else:
        find = captions_from(source)
    counts = {split: Counts() for split in SPLITS}
    records = caption_dataset(settings, paths.raw(name), counts, find)
    target = paths.captions(name)
    write_captions(target, count(records, f"{name} captions", "pictures"))
    write_json(paths.counts(target.parent), {split: tally.to_json() for split, tally in counts.items()})
    if scratch is not None:
        # There is nothing left to resume.
        shutil.rmtree(scratch, ignore_errors=True)


def blip_describer(params: Params, name: str) -> tuple[FindCaptions, Path]:
    """Return what has BLIP describe the pictures of a data set, and the folder of what it finished before."""
    from oft.captions.blip import BlipCaptioner
    from oft.captions.describing import describe_pictures
    from oft.captions.journal import Journal
    from oft.models.device import choose_device, make_deterministic
    from oft.training.checkpoint import run_key

    make_deterministic()
    device = choose_device()
    settings = params.datasets[name]
    described = {
        "blip": params.blip.model_dump(),
        "dataset": settings.model_dump(include={"reader", "num_train_images", "num_val_images"}),
        "device": device,
    }
    model = Path(params.blip.model)
    inputs = [paths.raw(name), *([model] if model.exists() else [])]
    scratch = paths.CHECKPOINTS / run_key(described, inputs, source_closure(Path(__file__)))
    describe = partial(
        describe_pictures,
        captioner=BlipCaptioner(params.blip, device),
        batch_size=params.blip.batch_size,
        journal=Journal(scratch / "captions.jsonl"),
    )
    return describe, scratch


if __name__ == "__main__":
    run(main, sys.argv[1:])
