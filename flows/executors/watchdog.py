"""``python -m flows.executors.watchdog CALLER FOLDER COMMAND...``: run a command that ends with its caller.

The command runs in the first free worktree of FOLDER, and all of it ends with its caller, however that ends.
Ray kills a worker's immediate children with it and not theirs, so two processes are needed: one that the
caller waits for, and behind it a watchdog, which watches both and ends the command's process group. It
also locks the worktree, so nobody enters it before the last process of a stage is gone.
"""

from __future__ import annotations

import itertools
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from flows.executors.pythonpath import module_command
from flows.process import terminate_groups
from oft.storage import try_lock


def watchdog_command(folder: Path, command: Sequence[str]) -> list[str]:
    """Return the command that runs ``command`` in a free worktree of ``folder`` while this process lives."""
    return module_command("flows.executors.watchdog", str(os.getpid()), str(folder), *command)


@contextmanager
def reserve_worktree(folder: Path) -> Iterator[Path]:
    """Lock the first free worktree of ``folder`` for the block; yield its folder."""
    for number in itertools.count():
        worktree = folder / f"worktree-{number}"
        if (lock := try_lock(worktree.with_suffix(".lock"))) is not None:
            with lock:
                worktree.mkdir(exist_ok=True)
                yield worktree
            return


def watch(watched: Sequence[int], folder: Path, command: Sequence[str]) -> int:
    """Run ``command`` in a worktree of ``folder`` and end it as soon as one of the ``watched`` is gone.

    Args:
        watched: file descriptors of processes (``os.pidfd_open``).

    Returns:
        The command's exit status, negative if a signal ended it.
    """
    with reserve_worktree(folder) as worktree:
        process = subprocess.Popen(
            command, cwd=worktree, stdin=subprocess.DEVNULL, text=True, start_new_session=True
        )
        try:
            select.select([*watched, os.pidfd_open(process.pid)], [], [])
        finally:
            terminate_groups([process])  # and whoever outlived the command
        return process.returncode


def main(caller: str, folder: str, *command: str) -> NoReturn:
    """Stand between the caller and the command, and end as the command did."""
    try:
        watched = os.pidfd_open(int(caller))
    except ProcessLookupError:
        sys.exit(1)
    if os.getppid() != int(caller):  # gone before it could be watched
        sys.exit(1)
    first = os.pidfd_open(os.getpid())
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    else:
        os.setsid()
        status = watch([watched, first], Path(folder), command)
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main(*sys.argv[1:])
