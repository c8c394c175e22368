"""Running trials: each is the pipeline in one clone with the repository's cache; its scores are kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.gains.scores import FILES
from flows.clones import clone_at
from flows.reproduce.workspace import backup_lockfile
from flows.trials.changes import describe_changes
from flows.trials.trial import Part, Trial
from oft.params import PARAMS_FILE
from oft.storage import atomic_file, atomic_folder, dump_yaml

CLONE = "trials"
SETTINGS_FILE = "settings.yaml"

Say = Callable[[str], None]
Reproduce = Callable[[Path, Sequence[str]], None]
"""Brings stages of a clone up to date, or raises a UserError."""
Keep = Callable[[Path, Trial, Part], None]
"""Keeps what a clone has of a part; the part counts as measured once `Trial.scores` has its scores."""


def keep_scores(clone: Path, trial: Trial, part: Part) -> None:
    """Copy what the stage ``evaluate`` wrote of a part, whole or not at all."""
    run = clone / "runs" / part.task / part.adapter
    with atomic_folder(trial.scores(part)) as partial:
        for name in FILES:
            (partial / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(run / name, partial / name)


def run_trials(
    root: Path,
    commit: str,
    trials: Sequence[Trial],
    reproduce: Reproduce,
    say: Say,
    keep: Keep = keep_scores,
) -> None:
    """Run what the trials lack, one trial after the other, in a clone of ``root`` at a commit.

    What is interrupted goes on from DVC's cache and the trainings' checkpoints.

    Raises:
        UserError: a stage fails, or the clone cannot be made.
    """
    waiting = [trial for trial in trials if trial.missing]
    if len(waiting) < len(trials):
        say(f"{len(trials) - len(waiting)} of {len(trials)} trials are there already.")
    if not waiting:
        return
    with clone_at(root, commit, say, CLONE) as clone:
        backup_lockfile(clone)  # git wrote it whole; beside the backup of another trial it could look torn
        started = time.monotonic()
        for number, trial in enumerate(waiting):
            say(f"Trial {number + 1} of {len(waiting)}: {describe_trial(trial)}")
            _run_trial(clone, trial, reproduce, keep)
            seconds = time.monotonic() - started
            rest = seconds / (number + 1) * (len(waiting) - number - 1)
            say(f"{number + 1} of {len(waiting)} trials after {seconds:.0f} s, about {rest:.0f} s left.")


def describe_trial(trial: Trial) -> str:
    """Return seed, changes and what is still to be measured of a trial, in a line."""
    missing = ", ".join(f"{part.task}/{part.adapter}" for part in trial.missing)
    changes = f"; {describe_changes(trial.changes)}" if trial.changes else ""
    return f"seed {trial.seed}{changes}; {missing or 'nothing left to do'}"


def _run_trial(clone: Path, trial: Trial, reproduce: Reproduce, keep: Keep) -> None:
    """Bring a trial's missing parts up to date in the clone, then keep what was measured."""
    missing = trial.missing
    with atomic_file(clone / PARAMS_FILE) as partial:
        partial.write_text(_dump(trial), encoding="utf-8")
    reproduce(clone, [part.stage for part in missing])
    # Only now is all in the clone of these settings; before, it may be of the trial before.
    trial.folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(trial.folder / SETTINGS_FILE) as partial:
        partial.write_text(_dump(trial), encoding="utf-8")
    for part in missing:
        keep(clone, trial, part)


def _dump(trial: Trial) -> str:
    return dump_yaml(dict(trial.values))
