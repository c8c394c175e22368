"""Stages as child processes in this workspace, as many at a time as there are cores; a GPU serves one."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from flows.commands import dvc_command, dvc_environment
from flows.process import Finished, end_groups, run_command
from flows.resources import Lease, Pool, find_cores, find_gpus


class LocalExecutor:
    """Runs stages on this machine.

    Args:
        root: the DVC repository's root.
        jobs: stages at a time, instead of one a core.
    """

    def __init__(self, root: Path, jobs: int | None = None) -> None:
        self.pool = Pool(jobs or find_cores(), find_gpus())
        self._root = root
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(self, stage: str, lease: Lease, log: Callable[[str], None]) -> Finished:
        """Run ``dvc repro --single-item STAGE``."""
        started: list[subprocess.Popen[str]] = []

        def register(process: subprocess.Popen[str]) -> None:
            started.append(process)
            with self._guard:
                self._running.add(process)
                too_late = self._stopped
            if too_late:
                end_groups([process])

        try:
            return run_command(
                dvc_command(["repro", "--single-item", stage]),
                root=self._root,
                log=log,
                environment=dvc_environment() | lease.environment,
                started=register,
            )
        finally:
            with self._guard:
                self._running.difference_update(started)

    def stop(self) -> None:
        """End the processes of all stages."""
        with self._guard:
            self._stopped = True
            running = list(self._running)
        end_groups(running)
