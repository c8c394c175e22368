"""Stages as child processes in this workspace, as many at a time as there are cores; a GPU serves one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flows.commands import dvc_command, dvc_environment
from flows.executors.process_pool import ProcessPool
from flows.process import CommandResult
from flows.resources import Lease, ResourcePool, find_gpus
from oft.parallel import usable_cores


class LocalExecutor:
    """Runs stages on this machine.

    Args:
        root: the DVC repository's root.
        jobs: stages at a time, instead of one a core.
    """

    def __init__(self, root: Path, jobs: int | None = None) -> None:
        self.pool = ResourcePool(jobs or usable_cores(), find_gpus())
        self._root = root
        self._processes = ProcessPool()

    def run(self, stage: str, lease: Lease, log: Callable[[str], None]) -> CommandResult:
        """Run ``dvc repro --single-item STAGE``."""
        return self._processes.run(
            dvc_command(["repro", "--single-item", stage]),
            root=self._root,
            log=log,
            environment=dvc_environment() | lease.environment,
        )

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` has been called."""
        return self._processes.stopped

    def stop(self) -> None:
        """End the processes of all stages."""
        self._processes.stop()
