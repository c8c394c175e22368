"""Where the samples of a task, subject or style in params come from, as cards say it."""

from __future__ import annotations

from typing import Any

from oft.params import Params
from oft.prepare.cards import style_origin, subject_origin, task_origin


def origin_of(params: Params, name: str) -> dict[str, Any]:
    """Return what the stages shard, shard_subject and shard_style write on a card."""
    if subject := params.subjects.get(name):
        dataset = params.datasets[subject.dataset]
        return subject_origin(
            subject.dataset, dataset, params.resolution_px, subject.title, params.identifier
        )
    if style := params.styles.get(name):
        dataset = params.datasets[style.dataset]
        return style_origin(style.dataset, dataset, params.resolution_px, params.blip)
    task = params.tasks[name]
    return task_origin(
        task.dataset,
        params.datasets[task.dataset],
        params.resolution_px,
        task.condition,
        params.condition_settings(task),
        params.blip,
    )
