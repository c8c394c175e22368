"""The child processes of an executor: started from several threads, ended from one."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flows.process import CommandResult, run_command, terminate_groups


class ProcessPool:
    """Commands that run side by side until they end or ``stop`` ends them.

    Attributes:
        stopped: whether ``stop`` has been called.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.stopped = False

    def run(
        self,
        command: Sequence[str],
        *,
        root: Path,
        log: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ) -> CommandResult:
        """Run a command to its end (see ``flows.process.run_command``); after ``stop`` it ends at once."""
        started: list[subprocess.Popen[str]] = []

        def register(process: subprocess.Popen[str]) -> None:
            started.append(process)
            with self._guard:
                self._running.add(process)
                too_late = self.stopped
            if too_late:
                terminate_groups([process])

        try:
            return run_command(command, root=root, log=log, environment=environment, started=register)
        finally:
            with self._guard:
                self._running.difference_update(started)

    def stop(self) -> None:
        """End all of them, with their children."""
        with self._guard:
            self.stopped = True
            running = list(self._running)
        terminate_groups(running)
