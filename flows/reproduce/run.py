"""A run: bring a clone's pipeline up to date and check that DVC agrees. Needs no Prefect and no server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flows.commands import describe_changes, describe_failure, run_dvc
from flows.executors import open_executor
from flows.faults import explain_disk_faults
from flows.reproduce.durations import Forecast, keep_seconds, read_seconds, read_typical
from flows.reproduce.plan import check_before, make_plan
from flows.reproduce.repair_outs import repair_outs
from flows.reproduce.run_table import RunTable, Status
from flows.reproduce.views import View, current_view, is_chatter
from flows.reproduce.walk import RETRY_SECONDS, Log, Spawn, Walk, WalkHooks, spawn_threads
from flows.reproduce.workspace import backup_lockfile, read_outs, repair_dvc_state, workspace_lock
from oft.parallel import usable_cores


@dataclass(frozen=True)
class RunOptions:
    """The options of a run.

    Attributes:
        targets: stage names, or a matrix's name for all of its stages; none means every stage.
        pull: first fetch results that others have pushed to the default DVC remote.
        jobs: stages at a time on this machine; None is one a core.
        keep_going: after a failure, start the stages that do not depend on it.
        retry_seconds: waits before a crashed stage is retried.
    """

    targets: Sequence[str] | None = None
    pull: bool = False
    jobs: int | None = None
    keep_going: bool = False
    retry_seconds: Sequence[float] = RETRY_SECONDS


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        table: the status of each stage and when it ran.
        faults: why it failed, one message for each reason; none where all is up to date.
    """

    table: RunTable
    faults: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many stages were done, and how many DVC had already."""
        counts = self.table.counts()
        return {status.value: counts[status] for status in (Status.DONE, Status.CACHED)}


def bring_up_to_date(
    root: Path,
    options: RunOptions,
    *,
    spawn: Spawn,
    view: View,
    log: Log,
    publish: Callable[[RunResult], None] = lambda _: None,
) -> RunResult:
    """Bring the pipeline, or the targets and their dependencies, up to date; ``dvc repro`` then runs nothing.

    Waits while another run works in the clone. Whatever interrupts it ends every process it has started,
    with their children, and is raised again; the next run goes on from there.

    Args:
        spawn: starts the threads.
        view: shows the run.
        log: gets what stages print.
        publish: called with the run at its end, before another may begin.

    Raises:
        UserError: the pipeline cannot be read, an executor cannot be had, or a disk is full or read-only.
    """
    say = partial(log, "")

    def repair() -> None:
        for done in repair_dvc_state(root):
            say(done)

    with explain_disk_faults(), workspace_lock(root, say):
        repair()
        for done in repair_outs(root):
            say(done)
        if options.pull:
            _fetch(root, options.targets, say)
        plan = make_plan(root, options.targets)
        for warning in check_before(root, plan):
            say(warning)
        table = RunTable(plan.order, view.changed)
        forecast = Forecast(read_seconds(root), options.jobs or usable_cores(), read_typical(root))
        view.begin(table, forecast)
        if plan.stale:
            backup_lockfile(root)
        walk = Walk(
            plan,
            partial(open_executor, root, plan.requests, options.jobs),
            table,
            log,
            WalkHooks(partial(read_outs, root), partial(backup_lockfile, root), repair),
            options.keep_going,
            options.retry_seconds,
        )
        try:
            results = walk.run(spawn)
        finally:
            keep_seconds(root, table.rows, table.now())
        faults = [result.message for result in results.values() if result.status is Status.FAILED]
        # DVC has the last word: it must find nothing left to run.
        if plan.stale and not faults and (changed := make_plan(root, options.targets).changed):
            faults.append(
                f"every stage passed, yet DVC finds these changed since:\n{describe_changes(changed)}"
            )
        run = RunResult(table, tuple(faults))
        publish(run)
    return run


def run_in_threads(root: Path, options: RunOptions) -> RunResult:
    """Bring a clone up to date without Prefect, shown as ``show_run`` shows it; see `bring_up_to_date`."""
    view = current_view()

    def log(stage: str, line: str) -> None:
        if not is_chatter(line):
            view.line(stage, line)

    with spawn_threads() as spawn:
        return bring_up_to_date(root, options, spawn=spawn, view=view, log=log)


def _fetch(root: Path, targets: Sequence[str] | None, say: Callable[[str], None]) -> None:
    """Fetch what the default remote holds, earlier runs included; the run then makes what it lacks."""
    finished = run_dvc(["fetch", "--run-cache", *(targets or ())], root=root, log=say)
    if finished.exit_code != 0:
        say(f"{describe_failure('dvc fetch', finished)}\nWhat could not be fetched is made here.")
