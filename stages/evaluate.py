"""Measure the pictures of one adapter on one task, real and autoencoded ones beside: judges, geometry."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.adapters.registry import BASE_ALONE
from oft.params import Params, load_params
from oft.storage import atomic_folder, read_json, write_json
from stages.launch import paths
from stages.launch.arguments import known_adapter, known_task, parse
from stages.launch.entry import run

if TYPE_CHECKING:
    from oft.adapters.protocol import Adapter
    from oft.evaluation.drift import Draw
    from oft.evaluation.measure import Measurements, Pictures
    from oft.evaluation.task import EvaluatedTask
    from oft.models.base import Base


def main(arguments: list[str]) -> None:
    """Write runs/<task>/<adapter>/metrics.json and plots/ of classes, pictures and layers."""
    from oft.evaluation.registry import measure_task
    from oft.evaluation.task import TaskFiles, read_task
    from oft.models.adapted import load_adapter_onto
    from oft.models.base import load_base
    from oft.models.device import choose_device, make_deterministic

    options = parse(arguments, __doc__, "task", "adapter")
    params = load_params()
    task = known_task(params, options.task)
    adapter = known_adapter(params, options.adapter)
    make_deterministic()
    device = choose_device()
    base = load_base(paths.BASE, device)
    folder = paths.run(task, adapter)
    judges = paths.judges(params.evaluate.judges)
    # A transfer is drawn in one piece, with an adapter that is measured where it was trained.
    transfer = f"{task}-{adapter}" in params.transfers
    num_shards = 1 if transfer else len(params.sample_shards)
    files = TaskFiles(paths.shards(task), folder / "samples", num_shards)
    settings = (params.evaluate, params.conditions, params.seed)
    evaluated = read_task(params.condition_of(task), files, base, judges, *settings)
    measured = measure_task(evaluated)
    layers: list[dict[str, Any]] = []
    if adapter != BASE_ALONE and not transfer:
        from oft.evaluation.geometry import measure_geometry

        geometry, layers = measure_geometry(base, folder / "magnitude")
        measured.add(geometry)
        measured.add(read_json(folder / "magnitude" / "summary.json"))
        if params.evaluate.before_magnitudes and "magnitude_parameters" in geometry:
            measured.add(measure_unfitted(params, task, adapter, evaluated, measured))
    if params.evaluate.drift_prompts and not transfer:
        from oft.evaluation.drift import measure_drift

        load = None if adapter == BASE_ALONE else partial(load_adapter_onto, base, folder / "magnitude")
        prompts, draw = params.evaluate.drift_prompts, unrelated_pictures(params, base)
        measured.add(measure_drift(prompts, draw, evaluated.judges, load, params.seed))
    measured.metrics.update(describe_run(params, adapter))
    if missing := measured.metrics.get("missing_judges"):
        print(
            f"evaluate.judges ({judges}) has no {missing}: what they would judge is not measured "
            "(docs/metrics.md)",
            flush=True,
        )
    with atomic_folder(folder / "plots") as plots:
        write_json(plots / "confusion.json", measured.confusion)
        write_json(plots / "per_image.json", measured.score_rows())
        write_json(plots / "class_pixels.json", measured.class_pixel_rows())
        write_json(plots / "energy.json", layers)
    write_json(folder / "metrics.json", measured.rounded())


def unrelated_pictures(params: Params, base: Base) -> Draw:
    """Return what draws the prompts that have nothing to do with the task."""
    from oft.sampling import draw_prompts
    from oft.seeding import derive_seed

    def draw(adapter: Adapter | None, *, another_noise: bool = False) -> Pictures:
        seed = derive_seed(params.seed, "unrelated", *(["another"] if another_noise else []))
        prompts = params.evaluate.drift_prompts
        return draw_prompts(base, adapter, prompts, params.sample, params.resolution_px, seed)

    return draw


def measure_unfitted(
    params: Params, task: str, adapter: str, evaluated: EvaluatedTask, measured: Measurements
) -> dict[str, float]:
    """Return the scores of the same requests drawn before magnitudes were fitted, and what those add."""
    import numpy as np

    from oft.evaluation.magnitudes import measure_before_magnitudes
    from oft.evaluation.registry import measure_task, picture_metrics
    from oft.models.adapted import load_adapter_onto
    from oft.sampling import generate, task_conditions
    from oft.seeding import derive_seed
    from oft.shards.samples import read_samples

    base = evaluated.base
    requests = [r for r, _ in read_samples(evaluated.files.samples, evaluated.files.num_sample_shards)]
    unfitted = load_adapter_onto(base, paths.run(task, adapter) / "train")
    unfitted.strength = params.sample.strength
    conditions = task_conditions(paths.shards(task)) if unfitted.takes_condition else None
    with unfitted.merging():
        drawn = generate(base, unfitted, requests, conditions, params.sample, params.resolution_px)
        pictures = np.stack([picture for _, picture in drawn])
    unfitted.remove()
    rng = np.random.default_rng(derive_seed(params.seed, "magnitudes"))
    return measure_before_magnitudes(evaluated, measured, pictures, measure_task, picture_metrics(), rng)


def describe_run(params: Params, adapter: str) -> dict[str, object]:
    """Return what a metric is read with: size, sampler, guidance, models and seed."""
    return {
        "adapter": adapter,
        "base": Path(params.base.source).name,
        "guidance_scale": params.sample.guidance_scale,
        "judges": Path(params.evaluate.judges).name,
        "num_inference_steps": params.sample.num_inference_steps,
        "resolution_px": params.resolution_px,
        "scheduler": params.sample.scheduler,
        "seed": params.seed,
    }


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
