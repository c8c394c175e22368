"""Locks that keep two runs out of one folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from oft.errors import UserError


class Busy(UserError):
    """Another run works where this one was to."""


@contextmanager
def hold_file(path: Path, say: Callable[[str], None], wait: bool = True) -> Iterator[None]:
    """Hold a lock for the block, waiting for who has it; it goes with the process, however that ends.

    Raises:
        Busy: another process has it and ``wait`` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            announce_wait(stream.read().strip() or "unknown", path.parent, say, wait)
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


def announce_wait(process: str, folder: Path, say: Callable[[str], None], wait: bool) -> None:
    """Say that a process works in a folder and is waited for.

    Raises:
        Busy: it is not to be waited for.
    """
    if not wait:
        raise Busy(f"another run works in {folder} (process {process}); wait until it has ended")
    say(f"Another run works in {folder} (process {process}); waiting for its end.")
