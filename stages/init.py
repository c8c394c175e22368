"""Make an adapter at identity for one task: the base with it still draws exactly what the base draws."""

from __future__ import annotations

import sys

from oft.errors import ParamsError
from oft.params import load_params
from oft.storage import atomic_folder, write_json
from stages.launch import paths
from stages.launch.arguments import known_task, known_trained, parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write runs/<task>/<adapter>/init, in the layout of the adapter's method."""
    from oft.models.adapted import init_adapter, save_with_base
    from oft.models.base import load_base
    from oft.models.device import choose_device
    from oft.seeding import generator_for

    options = parse(arguments, __doc__, "task", "adapter")
    params = load_params()
    task = known_task(params, options.task)
    adapter = known_trained(params, options.adapter)
    base = load_base(paths.BASE, choose_device())
    try:
        made = init_adapter(
            base,
            params.adapters[adapter],
            with_condition=task in params.tasks,
            generator=generator_for(params.seed, "init", task),
        )
    except ParamsError as fault:
        raise ParamsError(f"adapters.{adapter}: {fault}") from fault
    with atomic_folder(paths.run(task, adapter) / "init") as partial:
        save_with_base(partial, made, base)
        if rates := params.adapters[adapter].learning_rates:
            # The trainings read them in params.yaml; here they make those depend on them.
            write_json(partial / "learning_rates.json", rates)


if __name__ == "__main__":
    run(main, sys.argv[1:], heavy=True)
