"""What is kept of a part beside its scores while its clone has it: what it cost, and pictures to show.

It lies beside the scores, in ``extras/<task>/<adapter>`` of the trial's folder, and is written before them: a
part whose scores are there has it all.
"""

from __future__ import annotations

from pathlib import Path

from experiments.claims.pictures import keep_pictures
from experiments.claims.record import Cost
from flows.trials.run import keep_scores
from flows.trials.trial import Part, Trial
from oft.adapters.registry import BASE_ALONE
from oft.evaluation.metric import MINIATURE_JUDGES
from oft.params import Params, parse_params
from oft.storage import atomic_folder, read_json, write_json

MINIATURE = Path("data/models/miniature/judges")
COST = "cost.json"
STARTED = "started"


def keep_part(clone: Path, trial: Trial, part: Part, *, with_pictures: bool) -> None:
    """Keep cost, pictures and scores of a part."""
    params = parse_params(trial.values)
    with atomic_folder(extras(trial, part)) as partial:
        cost = read_cost(clone, trial, part, params)
        if cost is not None:
            write_json(partial / COST, vars(cost))
        if with_pictures:
            source = params.evaluate.judges
            judges = clone / (MINIATURE if source == MINIATURE_JUDGES else source)
            keep_pictures(clone, params, part.task, part.adapter, judges, partial)
    keep_scores(clone, trial, part)


def extras(trial: Trial, part: Part) -> Path:
    """Return where cost and pictures of a part are kept."""
    return trial.folder / "extras" / part.task / part.adapter


def mark_start(trial: Trial) -> None:
    """Note that a trial begins, unless it did before: what was timed earlier is of another trial."""
    trial.folder.mkdir(parents=True, exist_ok=True)
    (trial.folder / STARTED).touch(exist_ok=True)


def read_cost(clone: Path, trial: Trial, part: Part, params: Params) -> Cost | None:
    """Return what a part's training took, None where it came from a cache or nothing was trained."""
    telemetry = clone / ".telemetry" / f"train@{part.task}-{part.adapter}.json"
    if part.adapter == BASE_ALONE or not telemetry.is_file():
        return None
    if telemetry.stat().st_mtime < (trial.folder / STARTED).stat().st_mtime:
        return None
    timed = read_json(telemetry)
    steps = params.training_of(part.task).max_train_steps
    return Cost(timed["seconds"] / steps, timed["peak_memory_bytes"])


def kept_cost(trial: Trial, part: Part) -> Cost | None:
    """Return what was kept of a part's cost."""
    path = extras(trial, part) / COST
    return Cost(**read_json(path)) if path.is_file() else None
