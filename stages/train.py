"""Train one adapter on one task or subject. An interrupted training goes on from its last checkpoint."""

from __future__ import annotations

import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

from oft.params import load_params
from oft.storage import atomic_folder, write_json
from stages.launch import paths
from stages.launch.arguments import known_task, known_trained, parse
from stages.launch.ranks import join_ranks, run, run_as_ranks
from stages.launch.settings import write_settings
from stages.launch.sources import source_closure

# What of `sample` validation grids are drawn with.
DRAWING = ("scheduler", "num_inference_steps", "guidance_scale", "batch_size")


def main(arguments: list[str]) -> None:
    """Write runs/<task>/<adapter>/train: the adapter, DVCLive's curves and validation grids, summary.json."""
    options = parse(arguments, __doc__, "task", "adapter")
    params = load_params()
    task = known_task(params, options.task)
    adapter = known_trained(params, options.adapter)
    subject = task in params.subjects
    settings = params.train_subject if subject else params.train
    if run_as_ranks(arguments, settings):
        return

    from oft.models.adapted import load_onto, store
    from oft.models.base import load_base
    from oft.models.device import choose_device, make_deterministic
    from oft.sampling import task_prompts
    from oft.shards.store import ShardFolder, open_shards
    from oft.training.checkpoint import run_key
    from oft.training.dataset import open_training_set
    from oft.training.run import train_adapter
    from oft.training.validation import grid_drawer

    folder = paths.run(task, adapter)
    shards = open_shards(paths.shards(task), paths.SHARD_CACHE)
    inputs = [paths.BASE, paths.encoded(task) / "manifest.json", folder / "init"]
    if subject:
        inputs += [paths.prior(task) / "index.json", paths.encoded_prior(task) / "manifest.json"]
    adapter_settings = {adapter: params.adapters[adapter].model_dump()}
    drawing = params.sample.model_dump(include=set(DRAWING))
    described = {
        "seed": params.seed,
        "shards": shards.index_sha256,
        "train": settings.model_dump(exclude={"log_to"}),
        "sample": drawing,
    }
    scratch = paths.CHECKPOINTS / run_key(described, inputs, source_closure(Path(__file__)))

    ranks = join_ranks()
    ranks.refuse_unequal(scratch.name)
    make_deterministic()
    base = load_base(paths.BASE, choose_device())
    loaded = load_onto(base, folder / "init")
    data = open_training_set(base, shards, paths.encoded(task), "train", with_condition=not subject)
    prior = None
    if subject:
        class_pictures = ShardFolder(paths.prior(task))
        prior = open_training_set(
            base, class_pictures, paths.encoded_prior(task), "train", with_condition=False
        )
    with atomic_folder(folder / "train") if ranks.first else nullcontext() as partial:
        log = train_adapter(
            base,
            loaded,
            data,
            settings,
            prior=prior,
            prior_loss_weight=params.train_subject.prior_loss_weight if subject else 0.0,
            seed=params.seed,
            name=f"{task} {adapter}",
            folder=partial,
            scratch=scratch,
            logs=paths.LOGS,
            draw_grid=grid_drawer(
                base,
                loaded,
                shards,
                task_prompts(paths.shards(task)) if subject else None,
                settings.num_validation_images,
                params.sample,
                params.resolution_px,
                params.seed,
            ),
            validate_every_steps=settings.validate_every_steps,
            ranks=ranks,
        )
        if partial is not None:
            store(partial, loaded, base)
            made_with = {**described, "task": task, "adapter": adapter_settings, "base": base.hash}
            write_settings(partial, made_with | {"resolution_px": params.resolution_px})
            write_json(partial / "summary.json", {**log[-1], "num_images": len(data)})
    if ranks.first:  # There is nothing left to resume.
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    run(main, sys.argv[1:])
