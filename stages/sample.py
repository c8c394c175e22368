"""Generate pictures with one adapter, or with the base alone; one tar for each shard of the work."""

from __future__ import annotations

import sys

from oft.adapters.registry import BASE_ALONE
from oft.errors import ParamsError
from oft.params import load_params
from oft.progress import count
from stages.launch import paths
from stages.launch.arguments import known_adapter, known_task, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write runs/<task>/<adapter>/samples/<shard>.tar: PNG pictures, each with its prompt and seed."""
    from oft.models.adapted import load_adapter_onto
    from oft.models.base import load_base
    from oft.models.device import choose_device, make_deterministic
    from oft.models.prompts import count_cut, cut_note
    from oft.sampling import generate, plan, shard_of, task_conditions, task_prompts
    from oft.shards.samples import sample_archive, write_samples

    options = parse(arguments, __doc__, "task", "adapter", optional=["shard", "trained_on"])
    params = load_params()
    task = known_task(params, options.task)
    adapter = known_adapter(params, options.adapter)
    num_shards = 1 if options.shard is None else len(params.sample_shards)
    shard = options.shard or 0
    if not 0 <= shard < num_shards:
        raise ParamsError(f"--shard {shard}: sample_shards in params.yaml has 0 to {num_shards - 1}")
    subject = task in params.subjects
    make_deterministic()
    base = load_base(paths.BASE, choose_device())
    loaded = conditions = None
    if adapter != BASE_ALONE:
        loaded = load_adapter_onto(base, paths.run(options.trained_on or task, adapter) / "magnitude")
        loaded.strength = params.sample.strength
        loaded.merge()
        conditions = task_conditions(paths.shards(task)) if loaded.takes_condition else None
    num_samples = params.sample.num_subject_samples if subject else params.sample.num_samples
    prompts = task_prompts(paths.shards(task))
    different = sorted(set(prompts.values()))
    if num_cut := count_cut(base, different):
        print(cut_note(base, num_cut, len(different)), flush=True)
    requests = plan(prompts, num_samples, params.seed)
    mine = shard_of(requests, shard, num_shards)
    pictures = generate(base, loaded, mine, conditions, params.sample, params.resolution_px)
    shown = count(pictures, f"{task} {adapter}", "pictures", len(mine))
    write_samples(sample_archive(paths.run(task, adapter) / "samples", shard), shown)


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
