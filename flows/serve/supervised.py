"""Supervised processes, and the reaper that ends them should their supervisor be killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.process import TAIL_LINES, CommandResult

RESTARTS = 4
RESTARTS_WITHIN_SECONDS = 30.0


class SupervisedProcess:
    """A process that the supervisor restarts when it dies; its lines go to a file."""

    def __init__(
        self, name: str, arguments: Sequence[str], root: Path, environment: Mapping[str, str], logs: Path
    ) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self._command = [sys.executable, "-m", *arguments]
        self._root = root
        self._environment = dict(environment)
        self._starts: deque[float] = deque(maxlen=RESTARTS + 1)
        self._process: subprocess.Popen[bytes] | None = None
        logs.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")

    def start(self) -> None:
        """Start the process as a session leader, which Ctrl-C in the terminal does not reach."""
        self._starts.append(time.monotonic())
        with self.log.open("ab") as lines:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit status, negative for a signal; None while the process runs."""
        assert self._process is not None
        return self._process.poll()

    def may_restart(self) -> bool:
        """Return whether it has not restarted too often of late."""
        often = len(self._starts) > RESTARTS
        return not often or time.monotonic() - self._starts[0] > RESTARTS_WITHIN_SECONDS

    def finished(self) -> CommandResult:
        """Return how it ended, with its last lines."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return CommandResult(
            self.exit_code() or 0, tuple(line for line in lines if line.strip())[-TAIL_LINES:]
        )


class Reaper:
    """Starts supervised processes, and a process beside them that ends them all should this one be killed."""

    def __init__(self, root: Path, mark: str) -> None:
        self.pids: dict[str, int] = {}
        self._root = root
        self._mark = mark
        self._process = self._start()

    def start(self, process: SupervisedProcess) -> None:
        """Start ``process`` and register it with the reaper's process."""
        process.start()
        self.pids[process.name] = process.pid
        self._register(process.name, process.pid)

    def ensure_running(self) -> None:
        """Restart the reaper's process if it has been killed."""
        if self._process.poll() is not None:
            self._process = self._start()
            for name, pid in self.pids.items():
                self._register(name, pid)

    def close(self) -> None:
        """End the reaper's process, after all supervised ones."""
        self._process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.serve.reaper", self._mark],
            cwd=self._root,
            stdin=subprocess.PIPE,
            text=True,
            bufsize=1,  # line by line
            start_new_session=True,
        )

    def _register(self, name: str, pid: int) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # killed a moment ago; its successor gets them all
            self._process.stdin.write(f"{name} {pid}\n")
