"""The paper's toy experiment: pictures drawn from the angles, or the magnitudes, of activations alone."""

from __future__ import annotations

import sys

from oft.params import load_params
from oft.pictures import encode_png
from oft.storage import atomic_file, write_json
from stages.launch import paths
from stages.launch.arguments import parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write runs/angles/metrics.json and grid.png: in each row a picture, then drawn from each form."""
    from experiments.angles.activations import FORMS
    from experiments.angles.experiment import run_experiment
    from experiments.angles.pictures import read_picture_sets
    from oft.models.device import choose_device, make_deterministic
    from oft.seeding import generator_for

    parse(arguments, __doc__)
    params = load_params()
    settings = params.angles
    make_deterministic()
    sets = read_picture_sets(
        params.datasets[settings.dataset],
        paths.raw(settings.dataset),
        settings.resolution_px,
        settings.num_train_images,
        settings.num_held_out_images,
    )
    metrics, grid = run_experiment(sets, settings, choose_device(), generator_for(params.seed, "angles"))
    with atomic_file(paths.ANGLES / "grid.png") as partial:
        partial.write_bytes(encode_png(grid))
    write_json(paths.ANGLES / "metrics.json", {**metrics, "dataset": settings.dataset, "seed": params.seed})
    reached = ", ".join(f"{form} {metrics[f'psnr_{form}']:.1f} dB" for form in FORMS)
    print(f"{paths.ANGLES}: PSNR {reached}")


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
