"""One trial: settings with a seed, what to measure under them, and the folder that keeps the scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from flows.git import git, read_file
from flows.trials.changes import Changes, apply_changes
from oft.adapters.registry import BASE_ALONE, METHODS
from oft.errors import UserError
from oft.evaluation.metric import KINDS
from oft.evaluation.metric import kind_of as condition_kind
from oft.params import PARAMS_FILE, Params, parse_params
from oft.storage import load_yaml

PIPELINE_FILE = "dvc.yaml"
# Stages whose code changes no score.
NO_SCORES = ("angles", "draw", "report")
# The networks that ship with the repository; what else git keeps under data are folders for outputs.
SHIPPED = "data/models"
# Which items there are, and what only the report, the gate, the angles and the pretraining read.
NOT_IN_RESULTS = (
    "angles", "base_tasks", "control_adapters", "control_tasks", "drawings", "gate", "pretrain", "report",
    "style_adapters", "style_tasks", "subject_adapters", "subject_tasks", "transfers",
)  # fmt: skip
DIGEST_CHARS = 10

Kind = Literal["control", "subject", "style", "transfer"]


class Part(NamedTuple):
    """One adapter on one task, and the stage that measures it."""

    task: str
    adapter: str
    stage: str


class Revision(NamedTuple):
    """A commit with its settings, and a digest of its code."""

    commit: str
    values: Mapping[str, Any]
    code: str


@dataclass(frozen=True)
class Trial:
    """Settings with one seed.

    Attributes:
        changes: what differs from the settings at hand, but for the seed.
        values: all settings, as params.yaml has them.
        parts: what is measured.
        folder: where the scores are kept; it is named by the seed and by all that could change them.
        code: digest of the code that makes the scores.
    """

    changes: Changes
    seed: int
    values: Mapping[str, Any]
    parts: tuple[Part, ...]
    folder: Path
    code: str

    def digest_of(self, part: Part) -> str:
        """Return a digest of what decides a part's scores: not the settings of other adapters."""
        own = {name: entry for name, entry in self.values["adapters"].items() if name == part.adapter}
        return digest({**self.values, "adapters": own}, self.code)

    def scores(self, part: Part) -> Path:
        """Return where the scores of a part are kept."""
        return self.folder / part.task / part.adapter

    @property
    def missing(self) -> list[Part]:
        """The parts that are still to be measured."""
        return [part for part in self.parts if not self.scores(part).is_dir()]


def read_revision(root: Path, commit: str) -> Revision:
    """Return a commit of the repository ``root``.

    Raises:
        UserError: it has no params.yaml.
    """
    text = read_file(root, commit, str(PARAMS_FILE))
    if text is None:
        raise UserError(f"commit {commit[:10]} has no {PARAMS_FILE}; name a commit of the pipeline")
    pipeline = read_file(root, commit, PIPELINE_FILE) or ""
    stages = _scoring_stages(load_yaml(pipeline) or {})
    listed = git("ls-tree", commit, "--", SHIPPED, *_sources(stages), root=root)
    code = json.dumps([stages, listed], sort_keys=True)
    return Revision(commit, load_yaml(text), hashlib.sha256(code.encode()).hexdigest())


def _scoring_stages(pipeline: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stages of dvc.yaml that scores come from, without the words for readers."""
    stages = pipeline.get("stages") or {}
    return {
        name: {key: value for key, value in stage.items() if key != "desc"}
        for name, stage in stages.items()
        if name not in NO_SCORES
    }


def _sources(stages: Mapping[str, Any]) -> list[str]:
    """Return the files and folders that stages depend on under the same name for every item."""
    named = {str(path) for stage in stages.values() for path in stage.get("deps", ())}
    return sorted(path for path in named if "${" not in path)


def make_trial(
    revision: Revision,
    changes: Changes,
    seed: int,
    tasks: Sequence[str],
    adapters: Sequence[str],
    folder: Path,
) -> Trial:
    """Return the trial of a revision's settings with changes and a seed.

    Args:
        tasks: tasks, subjects and styles to measure; none: all that the settings train or transfer to.
        adapters: adapters to measure, ``none`` for the base alone.
        folder: trials lie in it.

    Raises:
        ParamsError: the settings break a rule.
        UserError: a task or adapter is unknown, or nothing is left to measure.
    """
    if "seed" in changes:
        raise UserError("seed is no setting to change here; give the seeds with --seeds")
    values = {**apply_changes(revision.values, changes), "seed": seed}
    params = parse_params(values, "params.yaml with the changes")
    chosen = list(tasks) or known_tasks(params)
    values = with_items(values, params, chosen, adapters)
    parse_params(values, "params.yaml with the changes")
    parts = tuple(parts_of(params, chosen, adapters))
    if not parts:
        raise UserError(f"no adapter of {', '.join(adapters)} can be measured on {', '.join(chosen)}")
    name = f"seed-{seed}-{digest(values, revision.code)}"
    return Trial(changes, seed, values, parts, folder / name, revision.code)


def known_tasks(params: Params) -> list[str]:
    """Return the tasks that are trained, and those that another task's adapter is tried on."""
    transferred = (transfer.task for transfer in params.transfers.values())
    return list(dict.fromkeys((*params.trained_tasks, *transferred)))


def kind_of(params: Params, task: str) -> Kind:
    """Return how a task is measured.

    Raises:
        UserError: it is none.
    """
    if task not in params.all_tasks:
        raise UserError(f"--tasks {task!r} must be one of {', '.join(params.all_tasks)}")
    is_transfer = any(transfer.task == task for transfer in params.transfers.values())
    return "transfer" if is_transfer else condition_kind(params.condition_of(task))


def takes(params: Params, kind: Kind, adapter: str) -> bool:
    """Return whether an adapter can be measured on tasks of a kind.

    Raises:
        UserError: there is no such adapter.
    """
    if adapter == BASE_ALONE:
        return True
    if adapter not in params.adapters:
        raise UserError(
            f"--adapters {adapter!r} must be {BASE_ALONE} (the base alone) or one of "
            f"{', '.join(params.adapters)}"
        )
    return kind not in ("subject", "style") or not METHODS[params.adapters[adapter].method].needs_condition


def parts_of(params: Params, tasks: Iterable[str], adapters: Sequence[str]) -> Iterable[Part]:
    """Yield each adapter on each task that it can be measured on, with its stage in dvc.yaml."""
    stages = {
        "control": "evaluate",
        "subject": "evaluate_subject",
        "style": "evaluate_style",
        "transfer": "evaluate_transfer",
    }
    for task in tasks:
        kind = kind_of(params, task)
        for adapter in adapters:
            if takes(params, kind, adapter):
                base = adapter == BASE_ALONE
                stage = f"evaluate_base@{task}" if base else f"{stages[kind]}@{task}-{adapter}"
                yield Part(task, adapter, stage)


def with_items(
    values: Mapping[str, Any], params: Params, tasks: Iterable[str], adapters: Sequence[str]
) -> dict[str, Any]:
    """Return settings under which dvc.yaml has an item for every task and adapter."""
    lists = {
        name: list(getattr(params, name))
        for name in ("base_tasks", *(f"{kind}_{what}" for kind in KINDS for what in ("tasks", "adapters")))
    }
    transfers = {key: transfer.model_dump() for key, transfer in params.transfers.items()}
    for task in tasks:
        kind = kind_of(params, task)
        lists["base_tasks"].append(task)
        if kind == "transfer":
            trained_on = next(each.trained_on for each in params.transfers.values() if each.task == task)
            for adapter in adapters:
                if adapter != BASE_ALONE:
                    item = {"task": task, "adapter": adapter, "trained_on": trained_on}
                    transfers[f"{task}-{adapter}"] = item
                    lists["control_adapters"].append(adapter)
            continue
        lists[f"{kind}_tasks"].append(task)
        fitting = (each for each in adapters if each != BASE_ALONE and takes(params, kind, each))
        lists[f"{kind}_adapters"] += fitting
    unique = {name: list(dict.fromkeys(names)) for name, names in lists.items()}
    return {**values, **unique, "transfers": transfers}


def digest(values: Mapping[str, Any], code: str) -> str:
    """Return a digest of what decides a trial's results: settings and code."""
    deciding = {name: value for name, value in values.items() if name not in NOT_IN_RESULTS}
    text = json.dumps([deciding, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def condition_and_source(params: Params, task: str) -> tuple[str, str]:
    """Return a task's condition (`SUBJECT`, `STYLE` where it learns one), and its data set's source."""
    return params.condition_of(task), params.datasets[params.all_tasks[task].dataset].acquire.source
