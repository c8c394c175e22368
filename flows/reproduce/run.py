"""A run: bring a clone's pipeline up to date and check that DVC agrees. Needs no Prefect and no server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flows.commands import describe_changes, describe_failure, run_dvc
from flows.executors import open_executor
from flows.reproduce.plan import make_plan
from flows.reproduce.run_table import Board, Standing
from flows.reproduce.views import View
from flows.reproduce.walk import RETRY_SECONDS, Result, Spawn, Walk
from flows.reproduce.workspace import hold_workspace, keep_lock, mend_workspace, read_outs

Log = Callable[[str, str], None]
"""Takes a line and the stage that printed it, "" for the run itself."""


@dataclass(frozen=True)
class Run:
    """A run that came to its end.

    Attributes:
        board: how each stage stands and when it ran.
        faults: why it failed, one message for each reason; none where all is up to date.
    """

    board: Board
    faults: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many stages were done, and how many DVC had already."""
        counts = self.board.counts()
        return {standing.value: counts[standing] for standing in (Standing.DONE, Standing.CACHED)}


def bring_up_to_date(
    root: Path,
    targets: Sequence[str] | None,
    *,
    spawn: Spawn,
    view: View,
    log: Log,
    publish: Callable[[Run], None] = lambda _: None,
    pull: bool = False,
    jobs: int | None = None,
    keep_going: bool = False,
    retry_seconds: Sequence[float] = RETRY_SECONDS,
) -> Run:
    """Bring the pipeline, or ``targets`` and all they need, up to date; ``dvc repro`` then runs nothing.

    Waits while another run works in the clone. Whatever interrupts it ends every process it has started,
    with their children, and is raised again; the next run goes on from there.

    Args:
        spawn: starts the threads.
        view: shows the run.
        log: gets what stages print.
        publish: called with the run at its end, before another may begin.
        pull: first fetch results that others have pushed to the default DVC remote.
        jobs: stages at a time on this machine; None is one a core.
        keep_going: after a failure, start what does not depend on it.

    Raises:
        UserError: the pipeline cannot be read, or an executor cannot be had.
    """
    say = partial(log, "")
    with hold_workspace(root, say):
        for done in mend_workspace(root):
            say(done)
        if pull:
            _fetch(root, targets, say)
        plan = make_plan(root, targets)
        board = Board(plan.order, view.changed)
        view.begin(board)
        results: dict[str, Result] = {}
        if plan.stale:
            keep_lock(root)
            with open_executor(root, plan.requests, jobs) as executor:
                results = Walk(
                    graph=plan.graph,
                    order=plan.order,
                    stale=plan.stale,
                    changed=plan.changed,
                    requests=plan.requests,
                    executor=executor,
                    board=board,
                    log=log,
                    read_outs=partial(read_outs, root),
                    after=partial(keep_lock, root),
                    mend=lambda: [say(done) for done in mend_workspace(root)],
                    keep_going=keep_going,
                    retry_seconds=retry_seconds,
                ).run(spawn)
        else:
            for stage in plan.order:
                board.end(stage, Standing.CACHED)
        faults = [result.message for result in results.values() if result.standing is Standing.FAILED]
        # The gate: what was walked must be what DVC calls up to date.
        if plan.stale and not faults and (changed := make_plan(root, targets).changed):
            faults.append(
                f"every stage passed, yet DVC finds these changed since:\n{describe_changes(changed)}"
            )
        run = Run(board, tuple(faults))
        publish(run)
    return run


def _fetch(root: Path, targets: Sequence[str] | None, say: Callable[[str], None]) -> None:
    """Fetch what the default remote holds, earlier runs included; what it lacks is work left to do here."""
    finished = run_dvc(["fetch", "--run-cache", *(targets or ())], root=root, log=say)
    if finished.exit_code != 0:
        say(f"{describe_failure('dvc fetch', finished)}\nWhat could not be fetched is made here.")
