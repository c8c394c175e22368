"""Train one adapter on one task, subject or style. An interrupted training goes on from its checkpoint."""

from __future__ import annotations

import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.params import Params, load_params
from oft.storage import atomic_folder, write_json
from stages.launch import paths
from stages.launch.arguments import known_task, known_trained, parse
from stages.launch.ranks import join_ranks, run, run_as_ranks
from stages.launch.settings import write_settings
from stages.launch.sources import source_closure

if TYPE_CHECKING:
    from oft.adapters.protocol import Adapter
    from oft.models.base import Base
    from oft.shards.store import ShardStore
    from oft.training.objective import TrainingSource
    from oft.training.run import Validation

# What of `sample` validation grids are drawn with.
DRAWING = (
    "scheduler",
    "karras_sigmas",
    "eta",
    "num_inference_steps",
    "guidance_scale",
    "negative_prompt",
    "guess_mode",
    "batch_size",
)


def main(arguments: list[str]) -> None:
    """Write runs/<task>/<adapter>/train: the adapter, DVCLive's curves and validation grids, summary.json."""
    options = parse(arguments, __doc__, "task", "adapter")
    params = load_params()
    task = known_task(params, options.task)
    name = known_trained(params, options.adapter)
    settings = params.training_of(task, name)
    if run_as_ranks(arguments, settings):
        return

    from oft.models.adapted import load_adapter_onto, save_with_base
    from oft.models.base import load_base
    from oft.models.device import choose_device, make_deterministic
    from oft.shards.store import open_shards
    from oft.training.checkpoint import run_key
    from oft.training.log import GRIDS
    from oft.training.run import Workplace, train_adapter

    folder = paths.run(task, name)
    shards = open_shards(paths.shards(task), paths.SHARD_CACHE)
    described = describe(params, task, name, shards)
    inputs = [paths.BASE, folder / "init", *encoded_inputs(params, task)]
    scratch = paths.CHECKPOINTS / run_key(described, inputs, source_closure(Path(__file__)))

    ranks = join_ranks()
    ranks.refuse_unequal(scratch.name)
    room = shards.plan_room("train", settings.shuffle_window_shards or None)
    if room and ranks.first:
        print(room, flush=True)
    make_deterministic()
    base = load_base(paths.BASE, choose_device())
    adapter = load_adapter_onto(base, folder / "init")
    sources = open_sources(base, params, task, shards)
    with atomic_folder(folder / "train") if ranks.first else nullcontext() as partial:
        log = train_adapter(
            base,
            adapter,
            sources,
            settings,
            Workplace(partial, scratch, paths.LOGS),
            seed=params.seed,
            name=f"{task} {name}",
            validation=open_validation(base, adapter, params, task, shards),
            ranks=ranks,
        )
        if partial is not None:
            save_with_base(partial, adapter, base)
            made_with = {
                **described,
                "task": task,
                "adapter": {name: params.adapters[name].model_dump(exclude={"title"})},
                "base": base.hash,
                "resolution_px": params.resolution_px,
            }
            write_settings(partial, made_with)
            data = sources[0].data
            counted = {"num_images": len(data), "num_captions_cut": data.num_captions_cut}
            write_json(partial / "summary.json", {**log[-1], **counted})
    if ranks.first:  # There is nothing left to resume.
        if (grids := folder / "train" / "dvclive" / GRIDS).is_dir():
            print(f"{task} {name}: validation grids are in {grids}", flush=True)
        shutil.rmtree(scratch, ignore_errors=True)


def describe(params: Params, task: str, adapter: str, shards: ShardStore) -> dict[str, Any]:
    """Return the settings that decide what a training gives, beside its inputs."""
    return {
        "seed": params.seed,
        "shards": shards.index_sha256,
        "train": params.training_of(task, adapter).model_dump(exclude={"log_to"}),
        "sample": params.sample.model_dump(include=set(DRAWING)),
    }


def encoded_inputs(params: Params, task: str) -> list[Path]:
    """Return the files that name what was encoded, and of a subject its class pictures."""
    inputs = [paths.encoded(task) / "manifest.json"]
    if task in params.subjects:
        inputs += [paths.prior(task) / "index.json", paths.encoded_prior(task) / "manifest.json"]
    return inputs


def open_sources(base: Base, params: Params, task: str, shards: ShardStore) -> list[TrainingSource]:
    """Return what is trained on: the task's pictures, and of a subject those of its class."""
    from oft.shards.store import ShardFolder
    from oft.training.dataset import open_training_set
    from oft.training.objective import TrainingSource

    subject = task in params.subjects
    with_condition = task in params.tasks
    data = open_training_set(base, shards, paths.encoded(task), "train", with_condition=with_condition)
    sources = [TrainingSource(data, "instance")]
    weight = params.train_subject.prior_loss_weight
    if subject and weight > 0:
        pictures = ShardFolder(paths.prior(task))
        prior = open_training_set(base, pictures, paths.encoded_prior(task), "train", with_condition=False)
        sources.append(TrainingSource(prior, "class", weight))
    return sources


def open_validation(
    base: Base, adapter: Adapter, params: Params, task: str, shards: ShardStore
) -> Validation | None:
    """Return how validation grids are drawn, None where none are asked for."""
    from oft.sampling import task_prompts
    from oft.training.run import Validation
    from oft.training.validation import grid_drawer

    settings = params.training_of(task)
    draw = grid_drawer(
        base,
        adapter,
        shards,
        task_prompts(paths.shards(task)) if task in params.subjects else None,
        settings.num_validation_images,
        params.sample,
        params.resolution_px,
        params.seed,
    )
    return None if draw is None else Validation(draw, settings.validate_every_steps)


if __name__ == "__main__":
    run(main, sys.argv[1:])
