"""``python -m flows.serve.reaper MARK``: end the supervised processes when their supervisor is gone.

Standard input is a pipe from the supervisor, which writes their process ids to it (``worker 4711``). The pipe
closes however the supervisor ends, kill -9 included. Imports nothing heavy: it runs as long as the server.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable

from flows.serve.marked import end_served


def read_pids(lines: Iterable[str]) -> dict[str, int]:
    """Return the process ids on ``lines``; a later process replaces an earlier one of the same name."""
    pids: dict[str, int] = {}
    for line in lines:
        name, _, pid = line.partition(" ")
        pids[name] = int(pid)
    return pids


if __name__ == "__main__":
    # A signal to a terminal's processes must not end the one that cleans up after them.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_served(sys.argv[1], read_pids(sys.stdin))
