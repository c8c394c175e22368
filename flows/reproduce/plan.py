"""The plan of a run: the graph, the stages it covers, and which of them DVC finds changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from flows.graph import StageGraph, graph_of, name_stage, open_repository, plan_stages
from flows.resources import ResourceRequest, parse_resource_request


class Plan(NamedTuple):
    """A run before it starts.

    Attributes:
        graph: every stage and its dependencies.
        order: the stages of the run, each after its dependencies.
        changed: the stages whose command, settings, inputs or outs DVC finds changed, with its reasons.
        requests: the resources that each stage reserves.
    """

    graph: StageGraph
    order: list[str]
    changed: dict[str, object]
    requests: dict[str, ResourceRequest]

    @property
    def stale(self) -> frozenset[str]:
        """The changed stages and all of the run that depend on them."""
        found: set[str] = set()
        for stage in self.order:
            if stage in self.changed or found.intersection(self.graph[stage]):
                found.add(stage)
        return frozenset(found)


def make_plan(root: Path, targets: Sequence[str] | None = None) -> Plan:
    """Plan how to bring ``targets`` (none: every stage) up to date.

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
        requests = {
            name: parse_resource_request(name, getattr(stage, "meta", None)) for name, stage in stages.items()
        }
    return Plan(graph, order, changed, requests)


def check_settings(root: Path, plan: Plan) -> None:
    """Refuse settings that a stage would refuse, before DVC removes an out of it.

    Raises:
        ParamsError: params.yaml breaks a rule, or a library refuses the settings of an adapter to be made.
    """
    from oft.adapters.checking import check_adapters
    from oft.params import PARAMS_FILE, load_params

    if not any(_adapter_stage(stage) for stage in plan.graph):
        return
    adapters = load_params(root / PARAMS_FILE).adapters
    made = {adapter for stage in plan.stale if (adapter := _adapter_stage(stage))}
    check_adapters({name: settings for name, settings in adapters.items() if name in made})


def _adapter_stage(stage: str) -> str:
    """Return the adapter that a stage makes, ``init@task-adapter`` or a variant; '' for any other stage."""
    script, _, item = stage.partition("@")
    return item.rpartition("-")[2] if script.partition("_")[0] == "init" else ""
