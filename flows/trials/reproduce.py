"""Bringing stages of a trial's clone up to date, shown as they go on; how long that takes, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.reproduce.run import RunOptions, run_in_threads
from flows.reproduce.views import show_run
from oft.errors import UserError


def reproduce(clone: Path, targets: Sequence[str], jobs: int | None) -> None:
    """Bring stages of the clone up to date.

    Raises:
        UserError: a stage fails.
    """
    with show_run():
        run = run_in_threads(clone, RunOptions(targets=targets, jobs=jobs))
    if run.faults:
        raise UserError("\n\n".join(run.faults))


def about(seconds: float) -> str:
    """Return an estimate in words."""
    if seconds < 100:
        time = f"{seconds:.0f} seconds"
    else:
        time = f"{seconds / 60:.0f} minutes" if seconds < 10_000 else f"{seconds / 3600:.1f} hours"
    return f"about {time}, less where DVC's cache has something"
