"""``python -m flows.serve.keeper MARK``: ends what is served when the process that serves it is gone.

Standard input is a pipe from that process, which names its parts on it (``worker 4711``). It closes however
that process ends, kill -9 included. Imports nothing heavy: it is there for as long as something is served.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable

from flows.serve.marked import end_served


def read_parts(lines: Iterable[str]) -> dict[str, int]:
    """The parts named on ``lines``, to the last line; a later process replaces an earlier one of its name."""
    parts: dict[str, int] = {}
    for line in lines:
        name, _, pid = line.partition(" ")
        parts[name] = int(pid)
    return parts


if __name__ == "__main__":
    # What ends a terminal's processes must not end the one that cleans up after them.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_served(sys.argv[1], read_parts(sys.stdin))
