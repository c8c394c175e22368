"""Compute once what training needs of the frozen networks: latents of pictures, embeddings of captions."""

from __future__ import annotations

import sys

from oft.params import load_params
from oft.storage import atomic_folder
from stages.launch import paths
from stages.launch.arguments import known_task, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write data/encoded/<task>: of its shards and, for a subject, of its class pictures."""
    from oft.models.base import load_base
    from oft.models.device import choose_device, make_deterministic
    from oft.shards.store import ShardFolder, open_shards
    from oft.training.encoded import write_encoded

    options = parse(arguments, __doc__, "task")
    params = load_params()
    task = known_task(params, options.task)
    sources = {paths.encoded(task): open_shards(paths.shards(task), paths.SHARD_CACHE)}
    if task in params.subjects:
        sources[paths.encoded_prior(task)] = ShardFolder(paths.prior(task))

    make_deterministic()
    base = load_base(paths.BASE, choose_device())
    for target, store in sources.items():
        with atomic_folder(target) as partial:
            write_encoded(base, store, partial, latents=params.encode.latents, text=params.encode.text)


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
