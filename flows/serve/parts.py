"""The parts of what is served, and the keeper that ends them should nobody else be left to do it."""

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


class Part:
    """A process that is started again when it dies; its lines go to a file."""

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
        """Start the process, at the head of a session of its own: Ctrl-C in the terminal is not for it."""
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

    def may_start_again(self) -> bool:
        """Return whether it has not been started too often of late."""
        often = len(self._starts) > RESTARTS
        return not often or time.monotonic() - self._starts[0] > RESTARTS_WITHIN_SECONDS

    def finished(self) -> CommandResult:
        """Return how it has ended, with the last it said."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return CommandResult(
            self.exit_code() or 0, tuple(line for line in lines if line.strip())[-TAIL_LINES:]
        )


class Keeper:
    """Starts parts, and a process beside them that ends them all should this one be killed."""

    def __init__(self, root: Path, mark: str) -> None:
        self.parts: dict[str, int] = {}
        self._root = root
        self._mark = mark
        self._process = self._start()

    def start(self, part: Part) -> None:
        """Start ``part`` and tell the keeper's process."""
        part.start()
        self.parts[part.name] = part.pid
        self._tell(part.name, part.pid)

    def look(self) -> None:
        """Start the keeper's process again if it has been killed."""
        if self._process.poll() is not None:
            self._process = self._start()
            for name, pid in self.parts.items():
                self._tell(name, pid)

    def leave(self) -> None:
        """Let the keeper's process end; there is nothing left for it to do."""
        self._process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.serve.keeper", self._mark],
            cwd=self._root,
            stdin=subprocess.PIPE,
            text=True,
            bufsize=1,  # line by line
            start_new_session=True,
        )

    def _tell(self, name: str, pid: int) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # killed a moment ago; its successor is told
            self._process.stdin.write(f"{name} {pid}\n")
