"""Draw prompts of the user's own with a trained adapter; nothing is measured on them."""

from __future__ import annotations

import sys

from oft.params import load_params
from oft.progress import count
from stages.launch import paths
from stages.launch.arguments import known, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write runs/<task>/<adapter>/drawings/<drawing>/0.tar: PNG pictures, each with its prompt and seed."""
    from oft.models.adapted import load_adapter_onto
    from oft.models.base import load_base
    from oft.models.device import choose_device, make_deterministic
    from oft.models.prompts import count_cut, cut_note
    from oft.sampling import generate, plan
    from oft.shards.samples import sample_archive, write_samples

    options = parse(arguments, __doc__, "drawing")
    params = load_params()
    name = known("drawing", options.drawing, params.drawings)
    drawing = params.drawings[name]
    folder = paths.run(drawing.task, drawing.adapter)
    make_deterministic()
    base = load_base(paths.BASE, choose_device())
    adapter = load_adapter_onto(base, folder / "magnitude")
    adapter.strength = params.sample.strength
    adapter.merge()
    if num_cut := count_cut(base, drawing.prompts):
        print(cut_note(base, num_cut, len(drawing.prompts)), flush=True)
    prompts = {f"p{index:03d}": prompt for index, prompt in enumerate(drawing.prompts)}
    requests = plan(prompts, drawing.num_samples, params.seed)
    pictures = generate(base, adapter, requests, None, params.sample, params.resolution_px)
    shown = count(pictures, f"{name} {drawing.task} {drawing.adapter}", "pictures", len(requests))
    write_samples(sample_archive(folder / "drawings" / name, 0), shown)


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
