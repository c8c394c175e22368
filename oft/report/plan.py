"""Which runs belong to a report, and what kind of task each is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oft.adapters.registry import BASE_ALONE
from oft.datasets.registry import dataset_title
from oft.evaluation.metric import KINDS, kind_of
from oft.report.glossary import CONDITIONS, FALLBACK_CONDITION, ConditionWords, adapter_words

if TYPE_CHECKING:
    from oft.params import Params


@dataclass(frozen=True)
class TaskKind:
    """What a task is.

    Attributes:
        condition: its name; `SUBJECT` for subjects, `STYLE` for styles.
        dataset: the data set's name in the params.
        dataset_title: what the data set is called where people read it.
    """

    condition: str
    dataset: str
    dataset_title: str

    @property
    def words(self) -> ConditionWords:
        """The words for its condition."""
        return CONDITIONS.get(self.condition, FALLBACK_CONDITION)

    def short_title(self, task: str) -> str:
        """Return what the task ``task`` does, for readers who know on which data."""
        title = self.words.title
        kind = kind_of(self.condition)
        if kind == "control":
            return title
        return f"{title} “{task.removeprefix(f'{kind}_').replace('_', ' ')}”"

    def title(self, task: str) -> str:
        """Return the name of the task ``task`` for readers: what it does, on which data."""
        return f"{self.short_title(task)} ({self.dataset_title})"


def planned_runs(params: Params) -> dict[str, tuple[str, ...]]:
    """Return the adapters of each task, tasks in the params' order, the base alone first.

    Runs that an earlier profile left behind do not slip in.
    """
    planned: dict[str, set[str]] = {}
    for task in params.control_tasks:
        planned.setdefault(task, set()).update(params.control_adapters)
    for task in params.subject_tasks:
        planned.setdefault(task, set()).update(params.subject_adapters)
    for task in params.style_tasks:
        planned.setdefault(task, set()).update(params.style_adapters)
    for transfer in params.transfers.values():
        planned.setdefault(transfer.task, set()).add(transfer.adapter)
    for task in params.base_tasks:
        planned.setdefault(task, set()).add(BASE_ALONE)
    ordered = sorted(planned, key=lambda task: KINDS.index(kind_of(params.condition_of(task))))
    in_order = list(adapter_words(params))
    return {task: tuple(sorted(planned[task], key=in_order.index)) for task in ordered}


def describe_task(task: str, params: Params) -> TaskKind:
    """Return a task's kind."""
    dataset = params.all_tasks[task].dataset
    return TaskKind(params.condition_of(task), dataset, title_of_dataset(dataset, params))


def title_of_dataset(name: str, params: Params) -> str:
    """Return what a data set of the params is called where people read it."""
    dataset = params.datasets[name]
    return dataset_title(name, dataset.reader, dataset.acquire.source)


def titles_of_files(params: Params) -> dict[str, str]:
    """Return the title of what each folder of results or file of counts is about, by its path."""
    titles = {name: describe_task(name, params).title(name) for name in params.all_tasks}
    files = {f"runs/{name}": title for name, title in titles.items()}
    for folder in ("conditions", "shards"):
        files |= {f"data/{folder}/{name}.counts.json": title for name, title in titles.items()}
    for folder in ("raw", "captions"):
        for name in params.datasets:
            files[f"data/{folder}/{name}.counts.json"] = title_of_dataset(name, params)
    return files


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
