"""Interleaved timing: every round takes one step of each variant, so that all meet the same machine."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Action = Callable[[], object]

# Errors of a step that a library cannot run: numerical failures, exhausted memory, missing kernels.
FAULTS = (RuntimeError, ValueError, FloatingPointError, MemoryError)


def round_order(names: Sequence[str], index: int) -> list[str]:
    """Return the order of round ``index``, every second one reversed: no variant always follows the same."""
    return list(names) if index % 2 == 0 else list(reversed(names))


def seconds_of(action: Action, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of one call, free of Python's garbage collector, which runs before."""
    gc.collect()
    gc.disable()
    try:
        start = clock()
        action()
        return clock() - start
    finally:
        gc.enable()


def interleave(
    actions: Mapping[str, Action],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    on_step: Callable[[str], None] = lambda name: None,
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Take ``rounds`` steps of every action, in turn.

    Returns:
        The seconds of each action's steps by name, and the error of each that failed; a failed action is not
        run again. ``on_step`` is called after every step: run, failed or skipped.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    failures: dict[str, str] = {}
    gc.collect()
    gc.freeze()  # the collector looks at what a step leaves, not at every library each time
    try:
        for index in range(rounds):
            for name in round_order(list(actions), index):
                if name not in failures:
                    try:
                        seconds[name].append(seconds_of(actions[name], clock))
                    except FAULTS as fault:
                        failures[name] = describe_fault(fault)
                        del seconds[name]
                on_step(name)
    finally:
        gc.unfreeze()
    return seconds, failures


def summarise(
    seconds: Sequence[float], frozen: Sequence[float] | None
) -> dict[str, float | list[float] | None]:
    """Return milliseconds of each step, their minimum and median, and the minimum over the frozen base's."""
    return {
        "step_ms": [1000 * value for value in seconds],
        "min_ms": 1000 * min(seconds),
        "median_ms": 1000 * statistics.median(seconds),
        "times_frozen": min(seconds) / min(frozen) if frozen else None,
    }


def describe_fault(fault: BaseException) -> str:
    """Return an error in one line: its kind and the first line of its message."""
    lines = str(fault).strip().splitlines()
    return f"{type(fault).__name__}: {lines[0]}" if lines else type(fault).__name__
