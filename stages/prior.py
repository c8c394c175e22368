"""Make pictures of a subject's class for prior preservation: the base draws them, or they are your own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from oft.params import Params, load_params
from oft.prepare.drops import refuse_empty
from oft.prepare.subjects import pack_class_pictures
from oft.progress import count
from oft.shards.shards import Sample, pack_sample, write_shards
from oft.storage import atomic_folder, read_json
from oft.types import Counts
from stages.launch import paths
from stages.launch.arguments import known, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write data/prior/<task>: shards of class pictures, captioned with the class prompt."""
    options = parse(arguments, __doc__, "task")
    params = load_params()
    task = known("task", options.task, params.subjects)
    prompt = read_json(paths.shards(task) / "prompts.json")["class_prompt"]
    folder = params.subjects[task].class_pictures
    tally: Counts | None = None
    total: int | None = None
    if folder is None:
        samples, total = draw(params, prompt), params.prior.num_class_images
    else:
        dataset, quality = params.datasets[params.subjects[task].dataset], params.shards.jpeg_quality
        tally = Counts()
        samples = pack_class_pictures(Path(folder), dataset, prompt, params.resolution_px, quality, tally)
    with atomic_folder(paths.prior(task)) as partial:
        shown = count(samples, f"class pictures of {task}", "pictures", total)
        made_with = {"prompt": prompt}
        num_samples = params.shards.samples_per_shard
        write_shards(shown, partial, "train", num_samples, params=made_with, counts=tally)
        if tally is not None:
            refuse_empty(f"class_pictures of {task}", "train", {"prior": tally})


def draw(params: Params, prompt: str) -> Iterator[Sample]:
    """Yield class pictures that the base draws."""
    from oft.models.base import load_base
    from oft.models.device import choose_device, make_deterministic
    from oft.sampling import generate, plan

    make_deterministic()
    base = load_base(paths.BASE, choose_device())
    requests = plan({"class": prompt}, params.prior.num_class_images, params.seed)
    for request, picture in generate(base, None, requests, None, params.sample, params.resolution_px):
        meta = {"captions": [prompt], "seed": request.seed}
        yield pack_sample(request.name, picture, meta=meta, lossless=True)


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
