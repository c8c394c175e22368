"""Which runs belong to a report, and what kind of task each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oft.report.glossary import adapter_order

NOT_TASKS = ("angles", "report")
"""What lies beside the tasks: the experiment with angles, the page itself."""

_PREFIXES = {"segm": "segmentation"}
_PLANNING_KEYS = ("control_tasks", "subject_tasks", "base_tasks", "transfers")


@dataclass(frozen=True)
class TaskKind:
    """What a task is: its condition (``subject`` for subjects), its data set, and where that comes from."""

    condition: str
    dataset: str
    source: str


def planned_runs(params: Mapping[str, Any], root: Path) -> dict[str, tuple[str, ...]]:
    """Return the adapters of each task, tasks in the params' order, the base alone first.

    Where the params name what runs, that is what the report is about: runs that an earlier profile left
    behind do not slip in. Where they name nothing, every folder ``runs/<task>/<adapter>`` counts.
    """
    if not any(params.get(key) for key in _PLANNING_KEYS):
        return _runs_on_disk(root / "runs")
    planned: dict[str, set[str]] = {}
    for kind in ("control", "subject"):
        for task in _names(params.get(f"{kind}_tasks")):
            planned.setdefault(task, set()).update(_names(params.get(f"{kind}_adapters")))
    for transfer in _mapping(params.get("transfers")).values():
        planned.setdefault(str(transfer.get("task", "")), set()).add(str(transfer.get("adapter", "")))
    for task in _names(params.get("base_tasks")):
        planned.setdefault(task, set()).add("none")
    subjects = [task for task in planned if describe_task(task, params).condition == "subject"]
    ordered = [task for task in planned if task not in subjects] + subjects
    return {task: tuple(sorted(planned[task], key=adapter_order)) for task in ordered}


def describe_task(task: str, params: Mapping[str, Any]) -> TaskKind:
    """Return a task's kind from the params, or from its name where they do not define it."""
    subjects, tasks = _mapping(params.get("subjects")), _mapping(params.get("tasks"))
    prefix, _, rest = task.partition("_")
    if task in subjects or (task not in tasks and prefix == "subject"):
        condition, dataset = "subject", str(_mapping(subjects.get(task)).get("dataset", ""))
    else:
        settings = _mapping(tasks.get(task))
        condition = str(settings.get("condition", _PREFIXES.get(prefix, prefix)))
        dataset = str(settings.get("dataset", rest))
    settings = _mapping(_mapping(params.get("datasets")).get(dataset))
    source = _mapping(settings.get("acquire")).get("source", "")
    return TaskKind(condition, dataset, str(source))


def num_sample_shards(task: str, adapter: str, params: Mapping[str, Any]) -> int | None:
    """Return in how many shards a run's pictures were drawn, None where the params do not say."""
    if trained_on(task, adapter, params) is not None:
        return 1
    shards = params.get("sample_shards")
    return len(shards) if isinstance(shards, list) else None


def trained_on(task: str, adapter: str, params: Mapping[str, Any]) -> str | None:
    """Return the task whose adapter a run uses, None where it trained its own."""
    for transfer in _mapping(params.get("transfers")).values():
        if (transfer.get("task"), transfer.get("adapter")) == (task, adapter):
            return str(transfer.get("trained_on"))
    return None


def datasets_of(tasks: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    """Return the data sets that tasks are drawn from, each once, in the tasks' order."""
    found = [describe_task(task, params).dataset for task in tasks]
    return list(dict.fromkeys(name for name in found if name))


def _runs_on_disk(folder: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for task in _folders(folder):
        adapters = sorted(_folders(folder / task), key=adapter_order)
        if adapters and task not in NOT_TASKS:
            found[task] = tuple(adapters)
    return found


def _folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def _names(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
