"""Make an adapter at identity for one task: the base with it still draws exactly what the base draws."""

from __future__ import annotations

import sys

from oft.params import load_params
from oft.storage import atomic_folder
from stages.launch import paths
from stages.launch.arguments import known, known_task, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write runs/<task>/<adapter>/init in PEFT's layout; for tasks with a condition also the hint encoder."""
    from oft.models.adapted import init_adapter, store
    from oft.models.base import load_base
    from oft.models.device import choose_device
    from oft.seeding import generator_for

    options = parse(arguments, __doc__, "task", "adapter")
    params = load_params()
    task = known_task(params, options.task)
    adapter = known("adapter", options.adapter, type(params.adapter).model_fields)
    base = load_base(paths.BASE, choose_device())
    loaded = init_adapter(
        base,
        getattr(params.adapter, adapter),
        with_condition=task in params.tasks,
        generator=generator_for(params.seed, "init", task),
    )
    with atomic_folder(paths.run(task, adapter) / "init") as partial:
        store(partial, loaded, base)


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
