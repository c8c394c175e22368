"""The walk over DVC's graph: run every stage once its dependencies are done and the machine has room for it.

DVC decides what a stage needs and whether it has to run at all. The caller chooses who starts the threads
(``spawn_threads``, or Prefect as tasks of a flow) and where the stages run (an executor).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from flows.commands import describe_failure, read_repro_action
from flows.executors import Executor
from flows.faults import explain_faults
from flows.graph import StageGraph
from flows.reproduce.outcomes import Outcome, classify, describe_crash, explain_signal
from flows.reproduce.plan import Plan
from flows.reproduce.run_table import RunTable, Status
from flows.resources import Lease, ResourceRequest
from oft.errors import UserError

RETRY_SECONDS = (2.0, 8.0, 32.0)
"""Waits before a crashed stage is retried; after the last it has failed."""
BUSY_SECONDS = 2.0
"""Wait before checking again whether another DVC process has released a stage's files."""

Log = Callable[[str, str], None]
"""Takes the stage and a line that printed it, "" for the run itself."""


@dataclass(frozen=True)
class StageResult:
    """How a stage ended: cached or done, or failed with a message for the user."""

    status: Status
    message: str = ""


class Spawn(Protocol):
    """Starts the work of a stage in a thread of its own; returns a future with ``add_done_callback``.

    ``after`` names the stages it depends on; they have ended.
    """

    def __call__(self, stage: str, work: Callable[[], StageResult], after: Iterable[str]) -> Any: ...


@dataclass(frozen=True)
class WalkHooks:
    """The calls of a walk into the workspace.

    Attributes:
        read_outs: returns the outs that each stage has made so far, by hash; a stage all of whose
            dependencies reran with the same outs stays unchanged.
        after_stage: called when a stage has succeeded.
        before_retry: called before a crashed stage is retried.
    """

    read_outs: Callable[[], Mapping[str, object]] = dict
    after_stage: Callable[[], object] = lambda: None
    before_retry: Callable[[], object] = lambda: None


@dataclass
class Walk:
    """One run over the stale stages of a plan.

    Attributes:
        plan: the graph, the order, and the stages that may have to run.
        open_executor: opens the executor; called only if a stage is stale.
        table: gets the status of each stage.
        log: gets each line a stage prints; called from the stage's thread.
        keep_going: after a failure, start the stages that do not depend on it.
        retry_seconds: see ``RETRY_SECONDS``.
    """

    plan: Plan
    open_executor: Callable[[], AbstractContextManager[Executor]]
    table: RunTable
    log: Log
    hooks: WalkHooks = field(default_factory=WalkHooks)
    keep_going: bool = False
    retry_seconds: Sequence[float] = RETRY_SECONDS

    def __post_init__(self) -> None:
        order, stale = critical_path_order(self.plan.graph, self.plan.order), self.plan.stale
        self._waiting = [stage for stage in order if stage in stale]
        self._running: dict[str, Lease] = {}
        self._results: dict[str, StageResult] = {}
        self._changed_outputs: set[str] = set()
        self._ended: queue.SimpleQueue[tuple[str, StageResult]] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def run(self, spawn: Spawn) -> dict[str, StageResult]:
        """Bring every stage up to date; return how each ended, without those that never started.

        Stages that run while another fails finish undisturbed. Whatever interrupts the walk ends every
        process it has started, with their children, and is raised again.
        """
        for stage in self.plan.order:
            if stage not in self._waiting:
                self._mark_cached(stage)
        if self._waiting:
            with self.open_executor() as executor, ExitStack() as stack:
                # Both of them, also where a second Ctrl-C interrupts the first.
                stack.callback(executor.stop)
                stack.callback(self._stopping.set)
                self._run_stale(executor, spawn)
        for stage in self._waiting:
            self.table.end(stage, Status.SKIPPED)
        return self._results

    def _run_stale(self, executor: Executor, spawn: Spawn) -> None:
        outs_before = self.hooks.read_outs()
        while True:
            self._mark_unchanged()
            self._start_ready(executor, spawn)
            if not self._running:
                return
            stage, result = self._ended.get()
            executor.pool.release(self._running.pop(stage))
            self._results[stage] = result
            self.table.end(stage, result.status)
            outs = self.hooks.read_outs().get(stage)
            if outs is None or outs != outs_before.get(stage):
                self._changed_outputs.add(stage)

    def _mark_cached(self, stage: str) -> None:
        self._results[stage] = StageResult(Status.CACHED)
        self.table.end(stage, Status.CACHED)

    def _mark_unchanged(self) -> None:
        """Mark as cached every waiting stage whose inputs turned out not to have changed."""
        for stage in list(self._waiting):  # each after its dependencies
            changed = stage in self.plan.changed or self._changed_outputs.intersection(self.plan.graph[stage])
            if self._is_ready(stage) and not changed:
                self._waiting.remove(stage)
                self._mark_cached(stage)

    def _start_ready(self, executor: Executor, spawn: Spawn) -> None:
        """Start every ready stage that there is room for; after a failure only with ``keep_going``."""
        failed = any(result.status is Status.FAILED for result in self._results.values())
        if failed and not self.keep_going:
            return
        for stage in filter(self._is_ready, list(self._waiting)):
            lease = executor.pool.reserve(self.plan.requests.get(stage, ResourceRequest()))
            if lease is not None:
                self._waiting.remove(stage)
                self._running[stage] = lease
                self._start(stage, lease, executor, spawn)

    def _start(self, stage: str, lease: Lease, executor: Executor, spawn: Spawn) -> None:
        made: list[StageResult] = []

        def work() -> StageResult:
            try:
                made.append(self._run_stage(stage, lease, executor))
            except (UserError, OSError) as error:
                parts = [f"stage {stage}: {error}", *explain_faults([str(error)])]
                made.append(StageResult(Status.FAILED, "\n".join(parts)))
            return made[0]

        def report(future: object) -> None:
            # Without a result the thread itself was lost, such as a crashed Prefect task.
            result = made[0] if made else StageResult(Status.FAILED, f"{stage}: {future}")
            self._ended.put((stage, result))

        self.table.begin(stage)
        spawn(stage, work, self.plan.graph[stage]).add_done_callback(report)

    def _is_ready(self, stage: str) -> bool:
        results = [self._results.get(needed) for needed in self.plan.graph[stage]]
        return all(result is not None and result.status is not Status.FAILED for result in results)

    def _run_stage(self, stage: str, lease: Lease, executor: Executor) -> StageResult:
        """Run one stage, and retry it while the failure is transient."""
        delays = list(self.retry_seconds)
        while True:
            lines: list[str] = []

            def log(line: str, lines: list[str] = lines) -> None:
                lines.append(line)
                self.log(stage, line)

            finished = executor.run(stage, lease, log)
            outcome = classify(finished)
            if outcome is Outcome.PASSED:
                self.hooks.after_stage()
                return StageResult(Status.DONE if read_repro_action(lines) == "ran" else Status.CACHED)
            if self._stopping.is_set() or executor.stopped:
                return StageResult(Status.FAILED, f"stage {stage} was ended with the run")
            if outcome is Outcome.BUSY:
                seconds, reason = BUSY_SECONDS, "another DVC process works on its files"
            elif outcome is Outcome.CRASHED and delays:
                seconds, reason = delays.pop(0), describe_crash(finished)
            else:
                parts = [describe_failure(f"stage {stage}", finished), explain_signal(finished)]
                return StageResult(Status.FAILED, "\n".join(filter(None, parts)))
            self._wait_to_retry(stage, seconds, reason)

    def _wait_to_retry(self, stage: str, seconds: float, reason: str) -> None:
        note = f"{reason}; next attempt in {seconds:.0f} s"
        self.table.note(stage, note)
        self.log(stage, note)
        if not self._stopping.wait(seconds):
            self.hooks.before_retry()
            self.table.note(stage, "")


def critical_path_order(graph: StageGraph, order: Sequence[str]) -> list[str]:
    """Return ``order`` sorted by the length of the longest path from each stage to the end, longest first."""
    lengths = dict.fromkeys(order, 0)
    for stage in reversed(order):
        for needed in graph[stage]:
            lengths[needed] = max(lengths.get(needed, 0), lengths[stage] + 1)
    return sorted(order, key=lambda stage: -lengths[stage])


@contextmanager
def spawn_threads() -> Iterator[Spawn]:
    """Yield a ``Spawn`` that starts each stage in a plain thread."""
    with ThreadPoolExecutor(max_workers=1024, thread_name_prefix="stage") as threads:
        yield lambda stage, work, after: threads.submit(work)
