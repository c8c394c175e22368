"""What a run has to do: the graph, the stages it covers, and which of them DVC finds changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from flows.graph import StageGraph, graph_of, name_stage, open_repository, plan_stages
from flows.resources import Request, parse_request


class Plan(NamedTuple):
    """A run before it begins.

    Attributes:
        graph: every stage and those it needs.
        order: the stages of the run, each after those it needs.
        changed: those whose command, settings, inputs or outs DVC finds changed, with what it says of them.
        requests: what each stage takes of a machine.
    """

    graph: StageGraph
    order: list[str]
    changed: dict[str, object]
    requests: dict[str, Request]

    @property
    def stale(self) -> frozenset[str]:
        """The changed stages and all of the run that depend on them."""
        found: set[str] = set()
        for stage in self.order:
            if stage in self.changed or found.intersection(self.graph[stage]):
                found.add(stage)
        return frozenset(found)


def make_plan(root: Path, targets: Sequence[str] | None = None) -> Plan:
    """Return what bringing ``targets`` (none: everything) up to date takes.

    Raises:
        UserError: ``root`` holds no DVC repository, DVC refuses dvc.yaml or params.yaml, a target is no stage
            or a stage's ``meta`` breaks its rule.
    """
    from dvc.lock import LockError

    with open_repository(root) as repo:
        graph = graph_of(repo, root)
        order = plan_stages(graph, targets)
        stages = {name_stage(stage, root): stage for stage in repo.index.stages}
        changed: dict[str, object] = {}
        with repo.lock:
            for name in order:
                try:
                    found = stages[name].status(check_updates=True)
                except LockError as error:  # another DVC process works on it; the stage's own will wait
                    found = {name: [str(error).partition("\n")[0]]}
                if found:
                    changed[name] = next(iter(found.values()))
        requests = {name: parse_request(name, getattr(stage, "meta", None)) for name, stage in stages.items()}
    return Plan(graph, order, changed, requests)
