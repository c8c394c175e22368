"""Fit one scale per adapted output neuron after training, everything else frozen."""

from __future__ import annotations

import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.params import Params, load_params
from oft.storage import atomic_folder, write_json
from oft.types import Split
from stages.launch import paths
from stages.launch.arguments import known_task, known_trained, parse
from stages.launch.ranks import join_ranks, run, run_as_ranks
from stages.launch.settings import write_settings
from stages.launch.sources import source_closure

if TYPE_CHECKING:
    from oft.models.base import Base
    from oft.shards.store import ShardStore
    from oft.training.dataset import TrainingSet


def main(arguments: list[str]) -> None:
    """Write runs/<task>/<adapter>/magnitude: the adapter with magnitudes, its curves, summary.json.

    The summary holds the validation loss before and after; where the method has no magnitudes, before alone.
    """
    options = parse(arguments, __doc__, "task", "adapter")
    params = load_params()
    task = known_task(params, options.task)
    adapter = known_trained(params, options.adapter)
    settings = params.magnitude_training_of(adapter)
    if run_as_ranks(arguments, settings):
        return

    from oft.models.adapted import load_adapter_onto, save_with_base
    from oft.models.base import load_base
    from oft.models.device import choose_device, make_deterministic
    from oft.shards.store import open_shards
    from oft.training.checkpoint import run_key
    from oft.training.objective import Denoiser, TrainingSource, validation_loss
    from oft.training.run import Workplace, train_adapter

    folder = paths.run(task, adapter)
    shards = open_shards(paths.shards(task), paths.SHARD_CACHE)
    inputs = [paths.BASE, paths.encoded(task) / "manifest.json", folder / "train"]
    described = describe(params, adapter, shards)
    scratch = paths.CHECKPOINTS / run_key(described, inputs, source_closure(Path(__file__)))

    ranks = join_ranks()
    ranks.refuse_unequal(scratch.name)
    room = shards.plan_room("train", settings.shuffle_window_shards or None)
    if room and ranks.first:
        print(room, flush=True)
    make_deterministic()
    base = load_base(paths.BASE, choose_device())
    loaded = load_adapter_onto(base, folder / "train")
    has_magnitudes = loaded.add_magnitudes()
    data, held_out = open_data(base, params, task, shards)

    def measure() -> float:
        denoiser = Denoiser(base.unet, loaded)
        return validation_loss(
            base,
            denoiser,
            held_out,
            settings.batch_size,
            params.seed,
            ranks=ranks,
            text_is_trained=loaded.text_encoder is not None,
        )

    with atomic_folder(folder / "magnitude") if ranks.first else nullcontext() as partial:
        losses = {"val_loss_before": measure()}
        if has_magnitudes:
            train_adapter(
                base,
                loaded,
                [TrainingSource(data, "instance")],
                settings,
                Workplace(partial, scratch, paths.LOGS),
                seed=params.seed,
                name=f"{task} {adapter} magnitude",
                ranks=ranks,
            )
            losses["val_loss_after"] = measure()
        if partial is not None:
            save_with_base(partial, loaded, base)
            write_settings(partial, {**described, "task": task, "adapter": adapter, "base": base.hash})
            counted = {"num_val_images": len(held_out), "num_captions_cut": data.num_captions_cut}
            write_json(partial / "summary.json", {**losses, **counted})
    if ranks.first:  # There is nothing left to resume.
        shutil.rmtree(scratch, ignore_errors=True)


def describe(params: Params, adapter: str, shards: ShardStore) -> dict[str, Any]:
    """Return the settings that decide what a fit gives, beside its inputs."""
    return {
        "seed": params.seed,
        "shards": shards.index_sha256,
        "fit_magnitude": params.magnitude_training_of(adapter).model_dump(exclude={"log_to"}),
    }


def open_data(base: Base, params: Params, task: str, shards: ShardStore) -> tuple[TrainingSet, TrainingSet]:
    """Return what is trained on and what the loss is measured on."""
    from oft.training.dataset import open_training_set

    def read(split: Split) -> TrainingSet:
        return open_training_set(
            base, shards, paths.encoded(task), split, with_condition=task in params.tasks
        )

    data = read("train")
    # A subject has no validation pictures: its own are all there are.
    return data, read("val") if task not in params.subjects and shards.entries("val") else data


if __name__ == "__main__":
    run(main, sys.argv[1:])
