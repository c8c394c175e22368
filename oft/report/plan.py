"""Which runs belong to a report, and what kind of task each is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oft.adapters.registry import BASE_ALONE
from oft.evaluation.metric import SUBJECT
from oft.report.glossary import adapter_words

if TYPE_CHECKING:
    from oft.params import Params


@dataclass(frozen=True)
class TaskKind:
    """What a task is: its condition (`SUBJECT` for subjects), its data set, and where that comes from."""

    condition: str
    dataset: str
    source: str


def planned_runs(params: Params) -> dict[str, tuple[str, ...]]:
    """Return the adapters of each task, tasks in the params' order, the base alone first.

    Runs that an earlier profile left behind do not slip in.
    """
    planned: dict[str, set[str]] = {}
    for task in params.control_tasks:
        planned.setdefault(task, set()).update(params.control_adapters)
    for task in params.subject_tasks:
        planned.setdefault(task, set()).update(params.subject_adapters)
    for transfer in params.transfers.values():
        planned.setdefault(transfer.task, set()).add(transfer.adapter)
    for task in params.base_tasks:
        planned.setdefault(task, set()).add(BASE_ALONE)
    ordered = sorted(planned, key=lambda task: task in params.subjects)
    in_order = list(adapter_words(params))
    return {task: tuple(sorted(planned[task], key=in_order.index)) for task in ordered}


def describe_task(task: str, params: Params) -> TaskKind:
    """Return a task's kind."""
    if task in params.subjects:
        condition, dataset = SUBJECT, params.subjects[task].dataset
    else:
        condition, dataset = params.tasks[task].condition, params.tasks[task].dataset
    return TaskKind(condition, dataset, params.datasets[dataset].acquire.source)


def num_sample_shards(task: str, adapter: str, params: Params) -> int:
    """Return in how many shards a run's pictures were drawn."""
    return 1 if trained_on(task, adapter, params) is not None else len(params.sample_shards)


def trained_on(task: str, adapter: str, params: Params) -> str | None:
    """Return the task whose adapter a run uses, None where it trained its own."""
    for transfer in params.transfers.values():
        if (transfer.task, transfer.adapter) == (task, adapter):
            return transfer.trained_on
    return None


def datasets_of(tasks: Iterable[str], params: Params) -> list[str]:
    """Return the data sets that tasks are drawn from, each once, in the tasks' order."""
    return list(dict.fromkeys(describe_task(task, params).dataset for task in tasks))
