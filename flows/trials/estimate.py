"""How long trials will take: from the seconds that this machine's stages took, where some ran before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.clones import CLONES
from flows.reproduce.durations import read_seconds
from flows.trials.run import CLONE
from flows.trials.trial import Part, Trial
from oft.adapters.registry import BASE_ALONE
from oft.errors import ParamsError
from oft.parallel import usable_cores
from oft.params import Params, parse_params
from oft.storage import YAMLError, load_yaml

DATASET_STAGES = ("acquire", "caption")
TASK_STAGES = ("extract", "shard", "shard_subject", "shard_style", "prior", "encode")
TRAINED_STAGES = ("init", "train", "fit_magnitude")
DRAWN_STAGES = ("sample", "evaluate")


def estimate_seconds(trials: Sequence[Trial], root: Path, jobs: int | None = None) -> float | None:
    """Return about how long the missing parts of trials take; None where no such stage was timed here.

    Stages that nothing is known of, such as those of an adapter that never ran, count as another adapter's on
    the same task. What DVC's cache holds takes seconds instead.

    Args:
        root: the repository's root; if no stage ran there, those of earlier trials count.
        jobs: stages at a time; None is one a core.
    """
    places = (root, root / CLONES / CLONE)
    place, timed = next(((each, found) for each in places if (found := read_seconds(each))), (root, {}))
    trained = _trained_with(place)
    total = sum(_trial_seconds(trial, timed, trained) for trial in trials if trial.missing)
    return total / (jobs or usable_cores()) or None


def _trained_with(root: Path) -> Params | None:
    """Return the settings that the repository's stages ran with, None where they cannot be read."""
    try:
        return parse_params(load_yaml((root / "params.yaml").read_text(encoding="utf-8")))
    except (OSError, YAMLError, ParamsError):
        return None


def _trial_seconds(trial: Trial, timed: Mapping[str, float], trained: Params | None) -> float:
    params = parse_params(trial.values)
    drawn = trial.missing
    learned = dict.fromkeys(
        (_trained_task(params, part), part.adapter) for part in drawn if part.adapter != BASE_ALONE
    )
    tasks = dict.fromkeys((*(part.task for part in drawn), *(task for task, _ in learned)))
    datasets = dict.fromkeys(params.all_tasks[task].dataset for task in tasks)
    names = [f"{stage}@{name}" for stage in DATASET_STAGES for name in datasets]
    names += [f"{stage}@{task}" for stage in TASK_STAGES for task in tasks]
    seconds = sum(timed.get(name, 0.0) for name in names)
    seconds += sum(_like(timed, stage, *part[:2]) for part in drawn for stage in DRAWN_STAGES)
    for task, adapter in learned:
        for stage in TRAINED_STAGES:
            seconds += _like(timed, stage, task, adapter) * _growth(stage, task, params, trained)
    return seconds


def _growth(stage: str, task: str, params: Params, trained: Params | None) -> float:
    """Return how many times as many samples a stage trains on as it did when it was timed."""
    if trained is None or stage == "init":
        return 1.0
    now, then = (
        each.training_of(task) if stage == "train" else each.fit_magnitude for each in (params, trained)
    )
    return float(_num_samples(now) / _num_samples(then))


def _num_samples(section: Any) -> int:
    return int(section.max_train_steps * section.batch_size)


def _trained_task(params: Params, part: Part) -> str:
    """Return the task that a part's adapter is trained on."""
    transfer = params.transfers.get(f"{part.task}-{part.adapter}")
    return transfer.trained_on if transfer is not None else part.task


def _like(timed: Mapping[str, float], stage: str, task: str, adapter: str) -> float:
    """Return the seconds of a stage of one adapter, its pieces together; else of another on the task."""
    start = f"{stage}@{task}-"
    own = _pieces(timed, f"{start}{adapter}")
    others = {name.removeprefix(start).partition("-")[0] for name in timed if name.startswith(start)}
    return own or max((_pieces(timed, f"{start}{other}") for other in others), default=0.0)


def _pieces(timed: Mapping[str, float], name: str) -> float:
    return sum(seconds for stage, seconds in timed.items() if stage == name or stage.startswith(f"{name}-"))
