"""The walk by itself, over an executor that runs nothing: order, room, failures, attempts, interruptions."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest

from flows.graph import StageGraph
from flows.process import CommandResult, exit_on_signals
from flows.reproduce.outcomes import Outcome, classify
from flows.reproduce.plan import Plan
from flows.reproduce.run_table import RunTable, Status
from flows.reproduce.walk import StageResult, Walk, WalkHooks, critical_path_order, spawn_threads
from flows.resources import Lease, ResourcePool, ResourceRequest
from oft.errors import UserError

GRAPH: StageGraph = {
    "report": ("left", "right"),
    "left": ("start",),
    "right": ("start",),
    "start": (),
    "alone": (),
}
ORDER = ["start", "left", "right", "report", "alone"]
RAN = CommandResult(0, ("Running stage 'x':",))
REFUSED = CommandResult(255, ("params.yaml: no",))
KILLED = CommandResult(-9, ())


@dataclass
class FakeExecutor:
    """Answers as told, once for each attempt, and remembers what ran beside what."""

    answers: Mapping[str, list[CommandResult]] = field(default_factory=dict)
    cpus: int = 2
    on_run: Callable[[str], None] = lambda _stage: None
    attempts: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    together: set[frozenset[str]] = field(default_factory=set)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.pool = ResourcePool(self.cpus)
        self._guard = threading.Lock()

    def run(self, stage: str, lease: Lease, log: Callable[[str], None]) -> CommandResult:
        with self._guard:
            self.attempts.append(stage)
            self.running.add(stage)
            self.together.add(frozenset(self.running))
        self.on_run(stage)
        answers = self.answers.get(stage, [])
        finished = answers.pop(0) if answers else RAN
        for line in finished.tail:
            log(line)
        with self._guard:
            self.running.remove(stage)
        return finished

    def stop(self) -> None:
        self.stopped = True


def plan_for(changed: set[str], requests: Mapping[str, ResourceRequest] | None = None) -> Plan:
    return Plan(GRAPH, ORDER, dict.fromkeys(changed, "modified"), dict(requests or {}))


def walk(
    executor: FakeExecutor,
    *,
    changed: set[str] | None = None,
    keep_going: bool = False,
    requests: Mapping[str, ResourceRequest] | None = None,
    hooks: WalkHooks | None = None,
) -> tuple[dict[str, StageResult], RunTable]:
    table = RunTable(ORDER)
    with spawn_threads() as spawn:
        results = Walk(
            plan_for(set(ORDER) if changed is None else changed, requests),
            lambda: nullcontext(executor),
            table,
            log=lambda stage, line: None,
            hooks=hooks or WalkHooks(),
            keep_going=keep_going,
            retry_seconds=(0.0, 0.0),
        ).run(spawn)
    return results, table


def test_every_stage_runs_once_after_its_dependencies() -> None:
    executor = FakeExecutor()
    results, table = walk(executor)
    assert sorted(executor.attempts) == sorted(ORDER)
    for stage, needs in GRAPH.items():
        assert all(executor.attempts.index(needed) < executor.attempts.index(stage) for needed in needs)
    assert {result.status for result in results.values()} == {Status.DONE}
    assert table.counts() == {Status.DONE: 5}


def test_unchanged_stages_are_skipped() -> None:
    executor = FakeExecutor(
        answers={"report": [CommandResult(0, ("Stage 'report' didn't change, skipping",))]}
    )
    _, table = walk(executor, changed={"right"})
    assert executor.attempts == ["right", "report"]
    assert {row.stage: row.status for row in table.rows} == {
        "start": Status.CACHED,
        "left": Status.CACHED,
        "alone": Status.CACHED,
        "right": Status.DONE,
        "report": Status.CACHED,
    }


@pytest.mark.parametrize("moves", [True, False])
def test_consumers_of_unchanged_outputs_are_skipped(moves: bool) -> None:
    outs = {stage: [f"{stage} one"] for stage in ORDER}

    def make(stage: str) -> None:
        if moves:
            outs[stage] = [f"{stage} two"]

    executor = FakeExecutor(on_run=make)
    _, table = walk(executor, changed={"start"}, hooks=WalkHooks(read_outs=lambda: dict(outs)))
    assert sorted(executor.attempts) == (["left", "report", "right", "start"] if moves else ["start"])
    assert table.counts()[Status.CACHED] == (1 if moves else 4)


def test_outs_missing_from_the_lockfile_count_as_changed() -> None:
    executor = FakeExecutor()
    walk(executor, changed={"start"})
    assert set(executor.attempts) == {"start", "left", "right", "report"}


def test_independent_stages_run_side_by_side() -> None:
    """Each of the two waits for the other to have begun: one after the other they would never end."""
    meeting = threading.Barrier(2, timeout=30)

    def meet(stage: str) -> None:
        if stage in ("left", "right"):
            meeting.wait()

    executor = FakeExecutor(on_run=meet)
    walk(executor, changed={"left", "right"})
    assert frozenset({"left", "right"}) in executor.together


def test_running_stages_never_exceed_the_pool() -> None:
    one = FakeExecutor(cpus=1)
    walk(one)
    assert {len(names) for names in one.together} == {1}
    wide = FakeExecutor(cpus=2)
    walk(wide, requests={"left": ResourceRequest(cpus=2), "right": ResourceRequest(cpus=2)})
    assert not any({"left", "right"} <= names for names in wide.together)


def test_the_critical_path_comes_first() -> None:
    assert critical_path_order(GRAPH, ORDER) == ["start", "left", "right", "report", "alone"]
    assert critical_path_order(GRAPH, ["alone", "start", "left", "right", "report"])[0] == "start"


def test_a_lasting_failure_is_not_retried_and_starts_no_more_stages() -> None:
    executor = FakeExecutor(answers={"start": [REFUSED]}, cpus=1)
    results, table = walk(executor)
    assert executor.attempts == ["start"]
    assert results["start"].status is Status.FAILED and "params.yaml: no" in results["start"].message
    assert table.counts() == {Status.FAILED: 1, Status.SKIPPED: 4}


def test_keep_going_runs_independent_stages() -> None:
    executor = FakeExecutor(answers={"left": [REFUSED]})
    results, table = walk(executor, keep_going=True)
    assert sorted(executor.attempts) == ["alone", "left", "right", "start"]
    assert results["right"].status is Status.DONE
    assert {row.stage for row in table.rows if row.status is Status.SKIPPED} == {"report"}


def test_a_crashed_stage_is_retried_after_a_repair() -> None:
    repairs: list[int] = []
    executor = FakeExecutor(answers={"start": [KILLED, KILLED]})
    results, _ = walk(executor, hooks=WalkHooks(before_retry=lambda: repairs.append(1)))
    assert executor.attempts.count("start") == 3 and len(repairs) == 2
    assert results["start"].status is Status.DONE


def test_retries_are_limited() -> None:
    executor = FakeExecutor(answers={"start": [KILLED] * 9})
    results, _ = walk(executor)
    assert executor.attempts.count("start") == 3
    assert results["start"].status is Status.FAILED
    assert "signal 9" in results["start"].message and "memory" in results["start"].message


def test_a_busy_stage_waits_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.reproduce.walk.BUSY_SECONDS", 0.0)
    busy = CommandResult(255, ("ERROR: failed to reproduce 'start': 'a' is busy, it is being blocked by:",))
    assert classify(busy) is Outcome.BUSY
    executor = FakeExecutor(answers={"start": [busy] * 20})
    results, _ = walk(executor)
    assert executor.attempts.count("start") == 21 and results["start"].status is Status.DONE


def test_an_interrupt_stops_the_executor_and_is_raised() -> None:
    executor = FakeExecutor()

    class Interrupting(RunTable):
        def end(self, stage: str, status: Status, note: str = "") -> None:
            raise KeyboardInterrupt

    with spawn_threads() as spawn, pytest.raises(KeyboardInterrupt):
        Walk(
            plan_for(set(ORDER)),
            lambda: nullcontext(executor),
            Interrupting(ORDER),
            log=lambda stage, line: None,
        ).run(spawn)
    assert executor.stopped


def test_a_stage_that_was_ended_is_not_retried() -> None:
    """Whoever ended it: the executor's own end comes first where a second signal interrupts the walk's."""
    executor = FakeExecutor(answers={"start": [KILLED] * 9}, on_run=lambda _: executor.stop())
    results, _ = walk(executor, changed={"start"})
    assert executor.attempts == ["start"]
    assert results["start"] == StageResult(Status.FAILED, "stage start was ended with the run")


def test_sigterm_ends_a_walk_without_a_retry_however_often_it_comes() -> None:
    """Twice as under make: from whoever ends the whole group, and from make."""

    def end_all(_: str) -> None:
        for _attempt in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        while not executor.stopped:
            time.sleep(0.01)

    executor = FakeExecutor(answers={stage: [KILLED] * 9 for stage in ORDER}, on_run=end_all, cpus=1)
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    exit_on_signals()
    try:
        with pytest.raises(SystemExit) as raised:
            walk(executor)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert raised.value.code == 128 + signal.SIGTERM
    assert executor.attempts == ["start"]


def test_an_executors_error_fails_the_stage() -> None:
    def refuse(stage: str) -> None:
        if stage == "left":
            raise UserError("no node has the memory")

    results, _ = walk(FakeExecutor(on_run=refuse))
    assert results["left"] == StageResult(Status.FAILED, "stage left: no node has the memory")
    assert results["start"].status is Status.DONE


def test_a_lost_task_fails_its_stage() -> None:
    class Lost:
        def add_done_callback(self, call: Callable[[object], None]) -> None:
            call(self)

        def __str__(self) -> str:
            return "the task crashed"

    results = Walk(
        Plan({"alone": ()}, ["alone"], {"alone": "modified"}, {}),
        lambda: nullcontext(FakeExecutor()),
        RunTable(["alone"]),
        log=lambda stage, line: None,
    ).run(lambda stage, work, after: Lost())
    assert results["alone"] == StageResult(Status.FAILED, "alone: the task crashed")
