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


def check_before(root: Path, plan: Plan) -> list[str]:
    """Refuse a run that would fail, before DVC removes an out of it; return what it will end without.

    Raises:
        ParamsError: params.yaml breaks a rule, or something that a stage needs is missing; all is named.
    """
    from oft.doctor.examination import examine, refuse_faults
    from oft.doctor.finding import Scope
    from oft.params import PARAMS_FILE, load_params

    # Of another pipeline's settings nothing is known.
    if not plan.stale or not Scope(plan.graph).has("init"):
        return []
    findings = examine(load_params(root / PARAMS_FILE), root, plan.stale)
    refuse_faults(findings)
    return [str(finding) for finding in findings if finding.level == "warning"]
