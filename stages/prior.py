"""Let the base draw pictures of a subject's class, for prior preservation."""

from __future__ import annotations

import sys

from oft.params import load_params
from oft.progress import count
from oft.storage import atomic_folder, read_json
from stages.launch import paths
from stages.launch.arguments import known, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write data/prior/<task>: shards of class pictures, captioned with the class prompt."""
    from oft.models.base import load_base
    from oft.models.device import choose_device, make_deterministic
    from oft.sampling import generate, plan
    from oft.shards.shards import pack_sample, write_shards

    options = parse(arguments, __doc__, "task")
    params = load_params()
    task = known("task", options.task, params.subjects)
    prompt = read_json(paths.shards(task) / "prompts.json")["class_prompt"]
    make_deterministic()
    base = load_base(paths.BASE, choose_device())
    requests = plan({"class": prompt}, params.prior.num_class_images, params.seed)
    pictures = generate(base, None, requests, None, params.sample, params.resolution_px)
    samples = (
        pack_sample(request.name, picture, meta={"captions": [prompt], "seed": request.seed}, lossless=True)
        for request, picture in pictures
    )
    with atomic_folder(paths.prior(task)) as partial:
        shown = count(samples, f"class pictures of {task}", "pictures", len(requests))
        write_shards(shown, partial, "train", params.shards.samples_per_shard, params={"prompt": prompt})


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
