"""Run a command as a child process that never outlives its caller."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from flows import reaper
from flows.reaper import GRACE_SECONDS, POLL_SECONDS, signal_group
from flows.redaction import hide_secrets
from oft.errors import UserError

TAIL_LINES = 20
PR_SET_PDEATHSIG = 1  # see prctl(2)


class Reaper:
    """This process's companion (flows/reaper.py), which ends its commands where it cannot: it was killed."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._caller = 0
        self._process: subprocess.Popen[str] | None = None

    def began(self, group: int) -> None:
        """Entrust it with a process group; ``ended`` takes it back."""
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        """Say that the group is gone: another one may get its number."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with self._guard, suppress(BrokenPipeError):
            if self._caller != os.getpid():
                self._start()
            assert self._process is not None and self._process.stdin is not None
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _start(self) -> None:
        self._caller = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        atexit.register(self._leave, self._process, self._caller)

    def _leave(self, process: subprocess.Popen[str], caller: int) -> None:
        if caller == os.getpid():  # and no fork of it
            with suppress(BrokenPipeError):
                process.communicate()


REAPER = Reaper()


class CommandResult(NamedTuple):
    """How a command ended: its exit status (negative: the signal that killed it) and its last lines."""

    exit_code: int
    tail: tuple[str, ...]


def start_command(
    command: Sequence[str], *, root: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start ``command`` in ``root`` as the leader of a process group of its own, its lines on one pipe."""
    return subprocess.Popen(
        list(command),
        cwd=root,
        env=None if environment is None else dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def run_command(
    command: Sequence[str],
    *,
    root: Path,
    log: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
    started: Callable[[subprocess.Popen[str]], None] | None = None,
) -> CommandResult:
    """Run ``command`` in ``root``, give every line it prints to ``log`` as it comes, and return how it ended.

    The child leads a process group of its own. Whatever interrupts the wait (Ctrl-C, a cancelled flow,
    SIGTERM turned into an exception, a fault in ``log``) ends that whole group, grandchildren too, before it
    is raised again. Where this process is killed, its reaper ends the group.

    Args:
        started: is given the child, so that another thread can end it (``terminate_groups``).
    """
    process = start_command(command, root=root, environment=environment)
    REAPER.began(process.pid)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        if started is not None:
            started(process)
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if text := hide_secrets(line.rstrip()):
                    tail.append(text)
                    log(text)
        return CommandResult(process.wait(), tuple(tail))
    except BaseException:
        terminate_groups([process])
        raise
    finally:
        REAPER.ended(process.pid)


def die_with_parent() -> None:
    """Let the kernel end this process when its parent ends, for whatever reason; on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def exit_on_signals() -> None:
    """Exit with cleanup on SIGTERM and SIGHUP, which would else end Python at once and leave its children.

    The first of them alone: make repeats SIGTERM to its children, and the second one would interrupt the
    cleanup before it has begun.
    """
    numbers = (signal.SIGTERM, signal.SIGHUP)

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, lambda *_: None)  # children would inherit SIG_IGN
        sys.exit(128 + number)

    for number in numbers:
        signal.signal(number, leave)


@contextmanager
def user_errors() -> Iterator[None]:
    """Print a UserError as a message alone, without secrets, and exit with status 1; on Ctrl-C with 130."""
    import typer

    try:
        yield
    except UserError as error:
        typer.echo(hide_secrets(str(error)), err=True)  # it may name an address
        raise typer.Exit(code=1) from None
    except KeyboardInterrupt:
        raise typer.Exit(code=130) from None


def terminate_groups(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Terminate the process groups of these leaders, and kill the survivors after ``GRACE_SECONDS``."""
    left = {process.pid: process for process in processes}
    try:
        left = {pid: process for pid, process in left.items() if signal_group(pid, signal.SIGTERM)}
        deadline = time.monotonic() + GRACE_SECONDS
        while left and time.monotonic() < deadline:
            # A leader nobody has waited for would keep its group in being.
            left = {pid: each for pid, each in left.items() if each.poll() is None or signal_group(pid, 0)}
            time.sleep(POLL_SECONDS)
    finally:  # a second Ctrl-C must not save the children
        for process in processes:
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
