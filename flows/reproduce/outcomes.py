"""What became of an attempt at a stage, read from how its DVC process ended and what it printed last."""

from __future__ import annotations

import errno
import re
import signal
from enum import Enum, auto

from flows.faults import may_pass
from flows.process import Finished

# What may be gone at the next attempt; a full disk or a missing right will not be.
PASSING_ERRNOS = frozenset(
    {
        errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.EPIPE, errno.EREMOTEIO, errno.ETIMEDOUT,
        errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH,
    }
)  # fmt: skip

_STAGE_EXIT = re.compile(r"failed to run: .*, exited with (-?\d+)$")
_ERRNO = re.compile(r"\[Errno (\d+)\]")
# What Python or DVC say last; a stage may also tell of a fault that it got over.
_OS_ERROR = re.compile(r"^(?:ERROR: [^\[]*|[\w.]*Error: )\[Errno \d+\]")
_TRANSFER = "ERROR: failed to transfer"
# Errors of networks that carry no errno: Python's, urllib3's and requests', botocore's, fsspec's.
_NETWORK = re.compile(
    r"^(?:[\w.]+\.)?(?:Connection\w*Error|\w*TimeoutError|\w*ProtocolError|EndpointConnectionError|"
    r"IncompleteRead\w*|BrokenPipeError|FSTimeoutError|ResponseStreamingError)(?::|$)"
)
_SIGNALS = frozenset(each.value for each in signal.Signals)
_BUSY = ("is busy, it is being blocked by", "Unable to acquire lock")


class Ending(Enum):
    """How an attempt at a stage ended."""

    PASSED = auto()
    FAULT = auto()
    """The stage refused: its settings, its inputs or its code are at fault; to try again changes nothing."""
    DIED = auto()
    """A signal or a fault of input and output ended it; to try again may help."""
    BUSY = auto()
    """Another DVC process works on the same files; nothing was tried."""


def classify(finished: Finished) -> Ending:
    """Return how an attempt ended."""
    if finished.exit_code == 0:
        return Ending.PASSED
    if any(mark in line for line in finished.tail for mark in _BUSY):
        return Ending.BUSY
    if ending_signal(finished) is not None:
        return Ending.DIED
    errors = [line for line in finished.tail if _OS_ERROR.match(line)]
    if errors:
        found = _ERRNO.search(errors[-1])
        return Ending.DIED if found and int(found[1]) in PASSING_ERRNOS else Ending.FAULT
    lost = any(_NETWORK.match(line) or _is_lost_transfer(line) for line in finished.tail)
    return Ending.DIED if lost else Ending.FAULT


def _is_lost_transfer(line: str) -> bool:
    return line.startswith(_TRANSFER) and may_pass(line)


def ending_signal(finished: Finished) -> int | None:
    """Return the number of the signal that ended the stage or its DVC process, None if none did."""
    exits = [int(found[1]) for line in finished.tail if (found := _STAGE_EXIT.search(line))]
    for status in [finished.exit_code, *exits]:
        # A shell reports a signal as 128 + its number; 130 is how a stage says Ctrl-C.
        number = -status if status < 0 else status - 128 if 128 < status <= 128 + signal.SIGRTMAX else None
        if number in _SIGNALS and status != 255:
            return number
    return None


def describe_death(finished: Finished) -> str:
    """Return in a few words what ended a stage that died."""
    number = ending_signal(finished)
    return "a fault of input or output" if number is None else f"signal {number} ended it"


def explain_signal(finished: Finished) -> str:
    """Return what the signal that ended a stage means, with a remedy; empty where none did."""
    number = ending_signal(finished)
    if number == signal.SIGKILL:
        return (
            "It was killed (signal 9), as Linux does where memory runs out: close other programs, run fewer "
            "stages at a time (--jobs 1) or lower batch_size in params.yaml, then run again."
        )
    if number is None:
        return ""
    return f"Signal {number} ({signal.Signals(number).name}) ended it; run again to go on."
