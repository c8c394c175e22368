"""Stages as tasks of a Ray cluster: each runs on a node with room, and its results come back through DVC's
remote.

The head checks whether a stage has to run at all; if so, Ray chooses a node, which runs the stage in its own
clone of the revision, and the head restores it from the run-cache entry that the node pushes. The head alone
writes dvc.lock, so it equals that of a run on one machine.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.commands import dvc_environment
from flows.executors.cluster import cluster_pool, connect, ray_options, read_capacities
from flows.executors.node import NodeResult, StageJob, run_on_node
from flows.executors.process_pool import ProcessPool
from flows.executors.pythonpath import module_command, with_pythonpath
from flows.executors.snapshot import read_snapshot
from flows.process import TAIL_LINES, CommandResult
from flows.resources import Lease, ResourceRequest
from oft.errors import UserError
from oft.storage import read_json, write_json

FORWARDED_VARIABLES = (
    "OFT_SHARDS",
    "OFT_SHARDS_GB",
    "OFT_TRAIN_PROCESSES",
    "OFT_WARM",
    "OFT_WARM_IDLE_SECONDS",
    "OFT_WORKERS",
)
ATTEMPTS = 3
"""How often a stage is started when its node or worker is lost."""
WAIT_NOTE_SECONDS = 60.0
STOP_SECONDS = 5.0
STOPPED = CommandResult(-signal.SIGTERM, ("ended with the run",))


class RayExecutor:
    """Runs stages on the Ray cluster at RAY_ADDRESS.

    Args:
        root: the DVC repository's root.
        requests: the resources that each stage reserves.

    Raises:
        UserError: there is no cluster, no DVC remote, code is not committed, or no node can serve a stage.
    """

    def __init__(self, root: Path, requests: Mapping[str, ResourceRequest]) -> None:
        self._root = root
        self._processes = ProcessPool()
        self._guard = threading.Condition()
        self._tasks: set[Any] = set()
        self._on_remote: set[str] = set()
        self._num_running = 0
        self._stopped = False
        finished, _ = self._run_step("open", {}, lambda _: None)
        if finished.exit_code:
            raise UserError("\n".join(finished.tail).removeprefix("ERROR: "))
        self._snapshot = read_snapshot(root)
        connect(os.environ)
        try:
            import ray

            capacities = read_capacities(ray.nodes())
            self.pool = cluster_pool(capacities)
            self._options = {
                stage: ray_options(stage, request, capacities) for stage, request in requests.items()
            }
            self._default = ray_options("", ResourceRequest(), capacities)
            self._bundle = ray.put(self._snapshot.bundle)
            self._make = ray.remote(max_retries=0)(run_on_node)
        except BaseException:
            self.stop()
            raise

    def run(self, stage: str, lease: Lease, log: Callable[[str], None]) -> CommandResult:
        """Bring one stage up to date: restore it here if it need not run, else run it on a node."""
        with self._guard:
            if self._stopped:
                return STOPPED
            self._num_running += 1
            known = {"on_remote": sorted(self._on_remote)}
        try:
            finished, found = self._run_step("check", known, log, stage)
            if finished.exit_code or found["outcome"] == "done":
                return finished
            made = self._run_remotely(stage, found["files"], log)
            if made.entry is None:
                return CommandResult(made.exit_code, tuple(made.tail))
            restored, _ = self._run_step("restore", made.entry, log, stage)
            if restored.exit_code == 0:
                with self._guard:
                    self._on_remote.add(stage)
            return restored
        finally:
            with self._guard:
                self._num_running -= 1
                self._guard.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` has been called."""
        return self._stopped

    def stop(self) -> None:
        """End the stages on all nodes, with their processes, and leave the cluster."""
        import ray

        with self._guard:
            first, self._stopped = not self._stopped, True
            tasks = list(self._tasks)
        for task in tasks:
            # By force: the worker ends at once, and the watchdog of its stage notices.
            ray.cancel(task, force=True)
        self._processes.stop()
        with self._guard:
            self._guard.wait_for(lambda: not self._num_running, STOP_SECONDS)
        if first:
            ray.shutdown()

    def _run_step(
        self, step: str, given: Any, log: Callable[[str], None], *stage: str
    ) -> tuple[CommandResult, Any]:
        """Run one step of flows.executors.remote_protocol here; return how it ended and its result."""
        with tempfile.TemporaryDirectory(prefix="oft-ray-") as folder:
            file = Path(folder, "step.json")
            write_json(file, given)
            finished = self._processes.run(
                module_command("flows.executors.remote_protocol", step, str(file), *stage),
                root=self._root,
                log=log,
                environment=with_pythonpath(dvc_environment()),
            )
            return finished, read_json(file) if finished.exit_code == 0 else None

    def _run_remotely(self, stage: str, files: dict[str, str], log: Callable[[str], None]) -> NodeResult:
        """Run the stage on some node; start again on another if that is lost."""
        from ray.exceptions import (
            NodeDiedError,
            ObjectLostError,
            OutOfMemoryError,
            RayError,
            TaskCancelledError,
            WorkerCrashedError,
        )

        sent = {name: os.environ[name] for name in FORWARDED_VARIABLES if name in os.environ}
        job = StageJob(stage, self._snapshot.revision, self._snapshot.project, files, sent)
        tail: list[str] = []

        def say(line: str) -> None:
            tail.append(line)
            del tail[:-TAIL_LINES]
            log(line)

        for attempt in range(1, ATTEMPTS + 1):
            try:
                for item in self._stream(job, say):
                    if isinstance(item, tuple):
                        return NodeResult(*item)
                    for line in item:
                        say(line)
                raise WorkerCrashedError  # the stream ended without a word
            except TaskCancelledError:
                if self._stopped:
                    break
                return NodeResult(1, (*tail, f"ERROR: {stage} was cancelled in Ray"), None)
            except (NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError) as error:
                if self._stopped:
                    break
                say(f"{stage}: its node or Ray's worker there is lost ({type(error).__name__})")
                if attempt < ATTEMPTS:
                    tail.clear()
                    say(f"{stage} begins anew wherever there is room ({attempt + 1} of {ATTEMPTS})")
            except RayError as error:
                if self._stopped:
                    break
                return NodeResult(1, (*tail, *str(error).strip().splitlines()[-TAIL_LINES:]), None)
        if self._stopped:
            return NodeResult(*STOPPED, None)
        return NodeResult(1, (*tail, f"ERROR: {ATTEMPTS} nodes or workers were lost with {stage}"), None)

    def _stream(self, job: StageJob, say: Callable[[str], None]) -> Iterator[list[str] | tuple[Any, ...]]:
        """Submit the job to Ray; yield the items of its task."""
        import ray

        options = self._options.get(job.stage, self._default)
        # Typed as the reference it would be, were run_on_node no generator.
        task: Any = self._make.options(name=job.stage, **options).remote(tuple(job), [self._bundle])
        with self._guard:
            self._tasks.add(task)
            too_late = self._stopped
        if too_late:
            ray.cancel(task, force=True)
        begun = False
        try:
            while True:
                ready, _ = ray.wait([task], timeout=WAIT_NOTE_SECONDS, fetch_local=False)
                if not ready:
                    if not begun:
                        say(
                            f"{job.stage} waits for a node with room for it; `ray status` shows what is taken"
                        )
                    continue
                try:
                    reference = next(task)
                except StopIteration:
                    return
                begun = True
                yield ray.get(reference)
        except BaseException:  # nobody reads the stream any more
            ray.cancel(task, force=True)
            raise
        finally:
            with self._guard:
                self._tasks.discard(task)
