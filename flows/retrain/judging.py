"""The scores a candidate is judged by: its own, and the promoted model's on the same pictures.

A clone of its own, the baseline, scores the promoted model again: the candidate's code, settings and data,
with the promoted model in place of the candidate's. DVC decides whether anything has to run: if neither
pictures nor settings changed, it restores the scores that the model was promoted with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from flows.clones import fetch
from flows.commands import require_dvc, run_dvc
from flows.git import read_file
from flows.graph import StageGraph, plan_stages, read_graph
from flows.reproduce.workspace import LOCKFILE
from flows.retrain.decision import Decision
from flows.retrain.gate import ImageScores
from flows.retrain.settings import RetrainSettings
from flows.retrain.workspace import open_clone, repair_clone
from oft.adapters.registry import BASE_ALONE
from oft.errors import UserError
from oft.params import Params
from oft.storage import atomic_file, dump_yaml, load_yaml, read_json

LockedStages = Mapping[str, Any]
"""The stages of a dvc.lock by name."""

SCHEMA = "2.0"


def model_outs(task: str, adapter: str) -> tuple[str, str]:
    """Return the outs that an adapter consists of: rotations and hint encoder, magnitudes."""
    return f"runs/{task}/{adapter}/train", f"runs/{task}/{adapter}/magnitude"


def scores_out(task: str, adapter: str) -> str:
    """Return the out with the scores of each picture."""
    return f"runs/{task}/{adapter}/plots"


def read_scores(root: Path, task: str, adapter: str) -> list[ImageScores]:
    """Return a row for each picture of an adapter on a task (``none``: the base alone).

    Raises:
        UserError: they were not measured.
    """
    path = root / scores_out(task, adapter) / "per_image.json"
    if not path.is_file():
        remedy = (
            "add the task to base_tasks" if adapter == BASE_ALONE else "let the stage `evaluate` write it"
        )
        raise UserError(
            f"gate: the candidate has no {path.relative_to(root)}, which it is judged by; {remedy}"
        )
    rows: list[ImageScores] = read_json(path)
    return rows


def parse_lockfile(text: str | None) -> LockedStages:
    """Return the stages of a dvc.lock's text."""
    loaded = load_yaml(text or "") or {}
    stages: LockedStages = loaded.get("stages", {})
    return stages


def write_lockfile(target: Path, stages: LockedStages) -> None:
    """Write stages as a dvc.lock, whole or not at all."""
    with atomic_file(target) as partial:
        partial.write_text(dump_yaml({"schema": SCHEMA, "stages": dict(stages)}), encoding="utf-8")


def judge_promoted(
    settings: RetrainSettings, revision: str, promoted: Decision, params: Params, log: Callable[[str], None]
) -> dict[str, list[ImageScores]]:
    """Return the promoted model's scores on the candidate's pictures, for each gated task that it serves.

    Args:
        revision: the candidate's; its dvc.lock is in ``settings.clone``.

    Raises:
        UserError: the promoted model cannot be judged, for instance on another base.
    """
    adapter, root = params.gate.adapter, settings.baseline
    fetch(settings.source, root)
    open_clone(settings, root, revision)
    repair_clone(root, log)
    now = parse_lockfile((settings.clone / LOCKFILE).read_text(encoding="utf-8"))
    then = parse_lockfile(read_file(root, f"refs/tags/{promoted.tag}", LOCKFILE))
    graph = read_graph(root)
    models = {task: _producers(then, model_outs(task, adapter)) for task in params.gated_tasks}
    served = {task: stages for task, stages in models.items() if stages}
    judges = {
        task: _stages_between(graph, stages, _producers(now, [scores_out(task, adapter)]))
        for task, stages in served.items()
    }
    swapped = {stage for stages in (*served.values(), *judges.values()) for stage in stages}
    merged = {name: stage for name, stage in now.items() if name not in swapped}
    merged |= {name: then[name] for name in swapped if name in then}
    write_lockfile(root / LOCKFILE, merged)

    running = [stage for stages in judges.values() for stage in stages]
    inputs = {producer for stage in running for producer in graph[stage]} - set(running)
    if running:
        _run_judges(running, sorted(inputs), root, log)
    return {task: read_scores(root, task, adapter) for task in served}


def _producers(lock: LockedStages, outs: Iterable[str]) -> list[str]:
    wanted = set(outs)
    return [name for name, stage in lock.items() if wanted & {out["path"] for out in stage.get("outs", [])}]


def _stages_between(graph: StageGraph, models: Iterable[str], scores: Iterable[str]) -> list[str]:
    """Return the stages between a model and its scores, in order, without those that make the model."""
    made = set(models)
    if unknown := made - set(graph):
        raise UserError(
            f"the promoted model was made by {', '.join(sorted(unknown))}, which dvc.yaml has no more: it "
            "cannot be judged again; judge against the base with `--against base`"
        )
    return [
        stage
        for stage in plan_stages(graph, scores)
        if stage not in made and made & set(plan_stages(graph, [stage]))
    ]


def _run_judges(stages: list[str], inputs: list[str], root: Path, log: Callable[[str], None]) -> None:
    """Run stages whose inputs other stages made: from the cache, or from the remote where it lacks them."""
    try:
        if run_dvc(["checkout", "--force", *inputs], root=root, log=log).exit_code != 0:
            require_dvc(["pull", "--force", *inputs], root=root, log=log)
        require_dvc(["repro", "--single-item", *stages], root=root, log=log)
    except UserError as error:
        raise UserError(
            f"the promoted model cannot be judged on the candidate's pictures: {error}\n"
            "If it belongs to another base or is lost, judge against the base with `--against base`."
        ) from error
