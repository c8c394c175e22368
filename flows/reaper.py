"""End the process groups that a killed caller leaves: ``python reaper.py``, its input a pipe from the caller.

The caller writes ``+GROUP`` when a group begins and ``-GROUP`` when it has ended. The pipe closes however the
caller ends, kill -9 included. It imports the standard library alone: one runs beside each caller.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 1.0
POLL_SECONDS = 0.02


def read_groups(lines: Iterable[str]) -> set[int]:
    """Return the groups that had begun and not ended when the lines stopped."""
    running: set[int] = set()
    for line in lines:
        change = running.add if line.startswith("+") else running.discard
        change(int(line[1:]))
    return running


def end_groups(groups: Iterable[int]) -> None:
    """Terminate process groups, and kill the survivors after ``GRACE_SECONDS``."""
    left = [group for group in groups if signal_group(group, signal.SIGTERM)]
    deadline = time.monotonic() + GRACE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [group for group in left if signal_group(group, 0)]
    for group in left:
        signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: int) -> bool:
    """Send signal ``number`` (0: none, only ask) to a process group; false where the group is gone."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    # A signal to a terminal's processes must not end the one that cleans up after them.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    end_groups(read_groups(sys.stdin))
