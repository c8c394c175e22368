"""The walk over DVC's graph: every stage when what it needs is there and the machine has room for it.

DVC decides what a stage needs and whether it has to run at all. Who starts the threads (``spawn_threads``, or
Prefect as tasks of a flow) and where the stages run (an executor) is left open.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from flows.commands import describe_failure, read_outcome
from flows.executors import Executor
from flows.graph import StageGraph
from flows.reproduce.outcomes import Ending, classify, describe_death, explain_signal
from flows.reproduce.run_table import Board, Standing
from flows.resources import Lease, Request
from oft.errors import UserError

RETRY_SECONDS = (2.0, 8.0, 32.0)
"""Waits before a stage that died is tried again; after the last it has failed."""
BUSY_SECONDS = 2.0
"""Wait before looking again whether another DVC process has let go of a stage's files."""


@dataclass(frozen=True)
class Result:
    """How a stage ended: cached or done, or failed with a message for whoever has to mend it."""

    standing: Standing
    message: str = ""


class Spawn(Protocol):
    """Starts the work of a stage in a thread of its own; returns a future with ``add_done_callback``."""

    def __call__(self, stage: str, work: Callable[[], Result]) -> Any: ...


@dataclass(frozen=True)
class Walk:
    """One run over a graph.

    Attributes:
        graph: each stage and those it needs.
        order: the stages of this run, each after those it needs.
        stale: those that may have to run: changed ones and all that depend on them.
        changed: those that DVC finds changed themselves.
        requests: what each takes of the machine.
        executor: brings single stages up to date.
        board: told how each stage stands.
        read_outs: what each stage has made so far, by hash; a stage whose needs were made anew and came out
            as before is as unchanged as it was.
        log: gets each line a stage prints, with the stage's name; called from the stage's thread.
        after: called when a stage has ended well.
        mend: called before a stage that died is tried again.
        keep_going: after a failure, start what does not depend on it.
        retry_seconds: see ``RETRY_SECONDS``.
    """

    graph: StageGraph
    order: Sequence[str]
    stale: frozenset[str]
    changed: Collection[str]
    requests: Mapping[str, Request]
    executor: Executor
    board: Board
    log: Callable[[str, str], None]
    read_outs: Callable[[], Mapping[str, object]] = dict
    after: Callable[[], object] = lambda: None
    mend: Callable[[], object] = lambda: None
    keep_going: bool = False
    retry_seconds: Sequence[float] = RETRY_SECONDS

    def run(self, spawn: Spawn) -> dict[str, Result]:
        """Bring every stage up to date; return how each ended, without those that never began.

        Stages that run while another fails end in peace. Whatever interrupts the walk ends every process it
        has started, with their children, and is raised again.
        """
        results = {stage: Result(Standing.CACHED) for stage in self.order if stage not in self.stale}
        for stage in results:
            self.board.end(stage, Standing.CACHED)
        waiting = [stage for stage in by_way_to_the_end(self.graph, self.order) if stage in self.stale]
        before = self.read_outs()
        moved: set[str] = set()
        ended: queue.SimpleQueue[tuple[str, Lease, Any]] = queue.SimpleQueue()
        brought: dict[str, Result] = {}
        num_running = 0
        stopping = threading.Event()

        def start(stage: str, lease: Lease) -> None:
            def work() -> Result:
                try:
                    brought[stage] = self._bring(stage, lease, stopping)
                except (UserError, OSError) as error:
                    brought[stage] = Result(Standing.FAILED, f"stage {stage}: {error}")
                return brought[stage]

            self.board.begin(stage)
            spawn(stage, work).add_done_callback(lambda future: ended.put((stage, lease, future)))

        def settle() -> None:
            for stage in list(waiting):  # each after those it needs
                if self._is_ready(stage, results) and not (
                    stage in self.changed or moved.intersection(self.graph[stage])
                ):
                    waiting.remove(stage)
                    results[stage] = Result(Standing.CACHED)
                    self.board.end(stage, Standing.CACHED)

        try:
            while True:
                settle()
                failed = any(result.standing is Standing.FAILED for result in results.values())
                for stage in [] if failed and not self.keep_going else list(waiting):
                    if not self._is_ready(stage, results):
                        continue
                    lease = self.executor.pool.reserve(self.requests.get(stage, Request()))
                    if lease is not None:
                        waiting.remove(stage)
                        num_running += 1
                        start(stage, lease)
                if not num_running:
                    break
                stage, lease, future = ended.get()
                num_running -= 1
                self.executor.pool.release(lease)
                results[stage] = brought.get(stage, Result(Standing.FAILED, f"{stage}: {future}"))
                self.board.end(stage, results[stage].standing)
                made = self.read_outs().get(stage)
                if made is None or made != before.get(stage):
                    moved.add(stage)
        except BaseException:
            stopping.set()
            self.executor.stop()
            raise
        for stage in waiting:
            self.board.end(stage, Standing.SKIPPED)
        return results

    def _is_ready(self, stage: str, results: Mapping[str, Result]) -> bool:
        return all(
            needed in results and results[needed].standing is not Standing.FAILED
            for needed in self.graph[stage]
        )

    def _bring(self, stage: str, lease: Lease, stopping: threading.Event) -> Result:
        """Bring one stage up to date, again and again while what stops it may pass by itself."""
        delays = list(self.retry_seconds)
        while True:
            lines: list[str] = []

            def log(line: str, lines: list[str] = lines) -> None:
                lines.append(line)
                self.log(stage, line)

            finished = self.executor.run(stage, lease, log)
            ending = classify(finished)
            if ending is Ending.PASSED:
                self.after()
                return Result(Standing.DONE if read_outcome(lines) == "ran" else Standing.CACHED)
            if stopping.is_set():
                return Result(Standing.FAILED, f"stage {stage} was ended with the run")
            if ending is Ending.FAULT or (ending is Ending.DIED and not delays):
                parts = [describe_failure(f"stage {stage}", finished), explain_signal(finished)]
                return Result(Standing.FAILED, "\n".join(filter(None, parts)))
            if ending is Ending.BUSY:
                seconds, why = BUSY_SECONDS, "another DVC process works on its files"
            else:
                seconds, why = delays.pop(0), describe_death(finished)
            note = f"{why}; next attempt in {seconds:.0f} s"
            self.board.remark(stage, note)
            self.log(stage, note)
            if not stopping.wait(seconds):
                self.mend()
                self.board.remark(stage, "")


def by_way_to_the_end(graph: StageGraph, order: Sequence[str]) -> list[str]:
    """Return ``order`` with those first that have the longest way to the end behind them."""
    ways = dict.fromkeys(order, 0)
    for stage in reversed(order):
        for needed in graph[stage]:
            ways[needed] = max(ways.get(needed, 0), ways[stage] + 1)
    return sorted(order, key=lambda stage: -ways[stage])


@contextmanager
def spawn_threads() -> Iterator[Spawn]:
    """Yield what starts a stage in a plain thread."""
    with ThreadPoolExecutor(max_workers=1024, thread_name_prefix="stage") as threads:
        yield lambda stage, work: threads.submit(work)
