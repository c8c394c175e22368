"""Where the samples of a task or subject in params come from, as cards say it."""

from __future__ import annotations

from typing import Any

from oft.params import Params
from oft.prepare.cards import subject_origin, task_origin


def origin_of(params: Params, name: str) -> dict[str, Any]:
    """Return what the stages shard and shard_subject write on the card of a task or subject."""
    if subject := params.subjects.get(name):
        dataset = params.datasets[subject.dataset]
        return subject_origin(
            subject.dataset, dataset, params.resolution_px, subject.subject, params.identifier
        )
    task = params.tasks[name]
    return task_origin(
        task.dataset,
        params.datasets[task.dataset],
        params.resolution_px,
        task.condition,
        params.condition_settings(task),
        params.blip,
    )
