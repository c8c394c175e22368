"""Classify how an attempt at a stage ended, from its DVC process's exit status and last lines."""

from __future__ import annotations

import errno
import re
import signal
from enum import Enum, auto

from flows.faults import is_transient
from flows.process import CommandResult

# May be gone at the next attempt, unlike a full disk or a missing right.
TRANSIENT_ERRNOS = frozenset(
    {
        errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.EPIPE, errno.EREMOTEIO, errno.ETIMEDOUT,
        errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH,
    }
)  # fmt: skip

_STAGE_EXIT = re.compile(r"failed to run: .*, exited with (-?\d+)$")
_ERRNO = re.compile(r"\[Errno (\d+)\]")
# As Python or DVC print a fatal error; a stage may also report one that it recovered from.
_OS_ERROR = re.compile(r"^(?:ERROR: [^\[]*|[\w.]*Error: )\[Errno \d+\]")
_TRANSFER = "ERROR: failed to transfer"
# Errors of networks that carry no errno: Python's, urllib3's and requests', botocore's, fsspec's.
_NETWORK = re.compile(
    r"^(?:[\w.]+\.)?(?:Connection\w*Error|\w*TimeoutError|\w*ProtocolError|EndpointConnectionError|"
    r"IncompleteRead\w*|BrokenPipeError|FSTimeoutError|ResponseStreamingError)(?::|$)"
)
_SIGNALS = frozenset(each.value for each in signal.Signals)
_BUSY = ("is busy, it is being blocked by", "Unable to acquire lock")


class Outcome(Enum):
    """How an attempt at a stage ended."""

    PASSED = auto()
    FAILED = auto()
    """The stage refused: its settings, inputs or code are at fault; a retry changes nothing."""
    CRASHED = auto()
    """A signal or a transient I/O error ended it; a retry may help."""
    BUSY = auto()
    """Another DVC process holds the same files; the stage did not start."""


def classify(finished: CommandResult) -> Outcome:
    """Return how an attempt ended."""
    if finished.exit_code == 0:
        return Outcome.PASSED
    if any(mark in line for line in finished.tail for mark in _BUSY):
        return Outcome.BUSY
    if fatal_signal(finished) is not None:
        return Outcome.CRASHED
    errors = [line for line in finished.tail if _OS_ERROR.match(line)]
    if errors:
        found = _ERRNO.search(errors[-1])
        return Outcome.CRASHED if found and int(found[1]) in TRANSIENT_ERRNOS else Outcome.FAILED
    lost = any(_NETWORK.match(line) or _is_lost_transfer(line) for line in finished.tail)
    return Outcome.CRASHED if lost else Outcome.FAILED


def _is_lost_transfer(line: str) -> bool:
    return line.startswith(_TRANSFER) and is_transient(line)


def fatal_signal(finished: CommandResult) -> int | None:
    """Return the number of the signal that ended the stage or its DVC process, None if none did."""
    exits = [int(found[1]) for line in finished.tail if (found := _STAGE_EXIT.search(line))]
    for status in [finished.exit_code, *exits]:
        # A shell reports a signal as 128 + its number; 130 is how a stage says Ctrl-C.
        number = -status if status < 0 else status - 128 if 128 < status <= 128 + signal.SIGRTMAX else None
        if number in _SIGNALS and status != 255:
            return number
    return None


def describe_crash(finished: CommandResult) -> str:
    """Return in a few words what ended a crashed stage."""
    number = fatal_signal(finished)
    return "a fault of input or output" if number is None else f"signal {number} ended it"


def explain_signal(finished: CommandResult) -> str:
    """Explain the signal that ended a stage, with a remedy; empty where none did."""
    number = fatal_signal(finished)
    if number == signal.SIGKILL:
        return (
            "It was killed (signal 9), as Linux does where memory runs out: close other programs, run fewer "
            "stages at a time (--jobs 1) or lower batch_size in params.yaml, then run again."
        )
    if number is None:
        return ""
    return f"Signal {number} ({signal.Signals(number).name}) ended it; run again to go on."
