"""Train the miniature base and its judges on rendered pictures.

Its results ship with the repository and the stage is frozen. To make all of them again (some two hours on two
cores): `dvc unfreeze pretrain && dvc repro -s pretrain && dvc freeze pretrain`.
To make some of them again and keep the rest: `python -m stages.pretrain --remake clip,extractor`, then
`dvc commit -f pretrain`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from oft.params import load_params
from stages.launch import paths
from stages.launch.arguments import parse
from stages.launch.entry import run
from stages.launch.sources import source_closure


def main(arguments: list[str]) -> None:
    """Write data/models/miniature: base/, judges/, their log, quality and hashes, and the model card."""
    from miniature.pretrain import PretrainSettings, keep_networks, pretrain
    from miniature.training import FitSettings
    from oft.models.device import make_deterministic
    from oft.training.checkpoint import run_key

    options = parse(arguments, __doc__, optional=["remake"])
    settings = load_params().pretrain
    networks = {
        name: [FitSettings(**recipe) for recipe in rounds]
        for name, rounds in settings.model_dump(exclude={"seed", "pool_images"}).items()
    }
    scratch = paths.CHECKPOINTS / run_key(settings.model_dump(), [], source_closure(Path(__file__)))
    if options.remake:
        keep_networks(paths.MINIATURE, scratch, options.remake.split(","))
    make_deterministic()
    trainings = PretrainSettings(settings.pool_images, networks)
    reached = pretrain(paths.MINIATURE, scratch, trainings, settings.seed)
    for name, value in sorted(reached.items()):
        print(f"{name}: {value}")


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
