"""Every process that descends from a served part, found by a mark in its environment.

A worker's flow runs and their DVC stages lead sessions of their own and outlive a parent that is killed, so
neither process groups nor parents find them all; their environment does, until they end. Linux only.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Mapping

import psutil

from flows.reaper import POLL_SECONDS

MARK = "OFT_SERVED"
RUN_GRACE_SECONDS = 10.0  # for a flow run to end its stages and report its state
PART_GRACE_SECONDS = 5.0


def end_served(mark: str, parts: Mapping[str, int]) -> None:
    """End the runs while the server still takes their states, then worker and server, then what is left.

    Args:
        mark: what ``OFT_SERVED`` is in the environment of all of them.
        parts: the process ids of ``server`` and ``worker``, as far as they run.
    """
    try:
        if "worker" in parts:
            send(parts["worker"], signal.SIGTERM)  # it takes on no other run
        end_marked(mark, RUN_GRACE_SECONDS, spare=parts.values())
        end_marked(mark, PART_GRACE_SECONDS)
    finally:  # a second Ctrl-C must not save anything
        kill_marked(mark)


def end_marked(mark: str, grace_seconds: float, *, spare: Collection[int] = ()) -> None:
    """Ask the topmost marked processes to end, and kill what is left after ``grace_seconds``.

    The topmost alone: a flow run ends its stages itself, and reports one that ends before it as failed.
    """
    found = {pid: parent for pid, parent in find_marked(mark).items() if pid not in spare}
    for pid, parent in found.items():
        if parent not in found:
            send(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while find_marked(mark).keys() - set(spare):
        if time.monotonic() > deadline:
            kill_marked(mark, spare=spare)
            return
        time.sleep(POLL_SECONDS)


def kill_marked(mark: str, *, spare: Collection[int] = ()) -> None:
    """Kill every marked process; again, until none has appeared meanwhile."""
    while left := find_marked(mark).keys() - set(spare):
        for pid in left:
            send(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def find_marked(mark: str) -> dict[int, int]:
    """The processes with ``mark``, or one that begins so, in their environment, and the parent of each."""
    return {
        process.pid: process.info["ppid"]
        for process in psutil.process_iter(["environ", "ppid"])  # environ is None for others' processes
        if (process.info["environ"] or {}).get(MARK, "").startswith(mark)
    }


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
