"""Locks on files between processes. A lock ends with its process, however that ends; its file stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def file_lock(path: Path, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock ``path`` for the block, and name this process in its file.

    Args:
        path: the lock's file, in a folder that need not exist.
        on_wait: is called where another process has the lock, with that one's pid (``unknown`` if its file is
            empty), before waiting for it; what it raises is the caller's answer instead of the wait.
    """
    lock = try_lock(path)
    if lock is None:
        if on_wait is not None:
            on_wait(path.read_text(encoding="utf-8").strip() or "unknown")
        lock = FileLock(path).acquire()
    with lock:
        path.write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield


def try_lock(path: Path) -> AbstractContextManager[object] | None:
    """Return the lock ``path``, taken until the block that it opens ends; None if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(path).acquire(blocking=False)
    except Timeout:
        return None
