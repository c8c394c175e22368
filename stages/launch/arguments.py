"""The command line of stages: the item of the graph to run or show. Settings are params.yaml's alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from oft.adapters.registry import BASE_ALONE
from oft.errors import ParamsError
from oft.params import Params
from stages.launch.entry import DRY_RUN, module_name

HELP = {
    "dataset": "a data set of params.yaml's `datasets`",
    "task": "a task of params.yaml's `tasks`, a subject of its `subjects`, or a style of its `styles`",
    "adapter": "an adapter of params.yaml's `adapters`; `none` is the base alone",
    "drawing": "one of params.yaml's `drawings`",
    "trained_on": "the task whose adapter is used, if it is another one",
    "remake": "networks to make anew, by commas; the others are kept as they are",
    "shard": "which part of the pictures, counted from 0; all of them in one part if left out",
}


def parse(
    arguments: list[str], description: str | None, *names: str, optional: Iterable[str] = ()
) -> argparse.Namespace:
    """Return the named options.

    ``--help`` prints the stage's own docstring, ``--dry-run`` what it would do; both end the process.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog="Settings are read from params.yaml in the current folder.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in [*names, *optional]:
        kind = int if name == "shard" else str
        parser.add_argument(f"--{name.replace('_', '-')}", required=name in names, help=HELP[name], type=kind)
    parser.add_argument(DRY_RUN, action="store_true", help="show what would be done, write nothing and stop")
    options = parser.parse_args(arguments)
    if vars(options).pop("dry_run"):
        from stages.launch.dry_run import describe_stage

        print(describe_stage(module_name(), vars(options)), end="")
        sys.exit()
    return options


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``names``.

    Raises:
        ParamsError: it is not.
    """
    names = sorted(names)
    if name not in names:
        raise ParamsError(f"--{kind} {name}: params.yaml has no such {kind}; it has {', '.join(names)}")
    return name


def known_adapter(params: Params, name: str) -> str:
    """Return ``name`` if it is an adapter of the params, or ``none``."""
    return known("adapter", name, [BASE_ALONE, *params.adapters])


def known_trained(params: Params, name: str) -> str:
    """Return ``name`` if it is an adapter of the params."""
    return known("adapter", name, params.adapters)


def known_task(params: Params, name: str) -> str:
    """Return ``name`` if it is a task, a subject or a style of the params."""
    return known("task", name, params.all_tasks)
