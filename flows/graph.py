"""DVC's stage graph as plain values: the dependencies of each stage, and a topological order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from oft.errors import UserError
from oft.storage.private import use_private_site_cache

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

StageGraph = Mapping[str, tuple[str, ...]]
"""Each stage's name and the stages whose outs it reads, both in the order dvc.yaml declares them."""


@contextmanager
def open_repository(root: Path) -> Iterator[Repo]:
    """Open the DVC repository whose root is ``root``.

    Raises:
        UserError: there is none, or DVC refuses dvc.yaml or params.yaml, at once or inside the block,
            or its site cache is not this user's alone.
    """
    use_private_site_cache()
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root), _wait_for_lock=True) as repo:
            yield repo
    except DvcException as error:
        raise UserError(
            f"DVC cannot read the pipeline in {root}: {error}. `dvc stage list` shows the fault in full."
        ) from error


def read_graph(root: Path) -> StageGraph:
    """Return the stage graph of the DVC repository ``root``, matrices and templates resolved.

    A frozen stage has no dependencies here: DVC keeps its outs and does not check its inputs.

    Raises:
        UserError: ``root`` holds no DVC repository, or DVC refuses dvc.yaml or params.yaml.
    """
    with open_repository(root) as repo:
        return graph_of(repo, root)


def graph_of(repo: Repo, root: Path) -> StageGraph:
    """Return the stage graph of an open repository, see ``read_graph``."""
    stages, graph = repo.index.stages, repo.index.graph
    position = {stage: index for index, stage in enumerate(stages)}
    return {
        name_stage(stage, root): tuple(
            name_stage(producer, root)
            for producer in sorted(() if stage.frozen else graph.successors(stage), key=position.__getitem__)
        )
        for stage in stages
    }


def name_stage(stage: Stage, root: Path) -> str:
    """Return a stage's name in ``root``; DVC's ``addressing`` is relative to the current folder."""
    file = os.path.relpath(stage.path, root)
    name = getattr(stage, "name", None)  # a .dvc file is a stage without a name
    if name is None:
        return file
    return name if file == "dvc.yaml" else f"{file}:{name}"


def plan_stages(graph: StageGraph, targets: Iterable[str] | None = None) -> list[str]:
    """Return the stages to run for ``targets`` (none: all), each after its dependencies, else as declared.

    A target is a stage's name, or a matrix's name for all of its stages (``train`` for every ``train@...``).

    Raises:
        UserError: a target is no stage of the graph.
    """
    ordered: dict[str, None] = {}

    def visit(stage: str) -> None:
        if stage not in ordered:
            for producer in graph[stage]:
                visit(producer)
            ordered[stage] = None

    for stage in graph if not targets else match_targets(graph, targets):
        visit(stage)
    return list(ordered)


def match_targets(graph: StageGraph, targets: Iterable[str]) -> list[str]:
    """Return the stages that ``targets`` name, in declared order.

    Raises:
        UserError: a target names none; the message lists the nearest names.
    """
    wanted: set[str] = set()
    for target in targets:
        matches = {stage for stage in graph if stage == target or stage.startswith(f"{target}@")}
        if not matches:
            names = sorted({name for stage in graph for name in (stage, stage.partition("@")[0])})
            near = get_close_matches(target, names) or names[:10]
            raise UserError(f"dvc.yaml has no stage {target!r}; near it: {', '.join(near)}")
        wanted |= matches
    return [stage for stage in graph if stage in wanted]
