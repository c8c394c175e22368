"""What tests ask of processes."""

from __future__ import annotations

import psutil


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has exited and waits for its parent to collect it does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
