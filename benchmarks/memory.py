"""Peak memory of a step: the most bytes torch's allocator has allocated at once.

On CUDA the allocator keeps that statistic itself (``torch.cuda.max_memory_allocated``). The processor's does
not, but reports every allocation and release, with its bytes, to torch's profiler; ``peak_bytes`` adds them
up in order. So both count the same things: parameters, optimizer state, what is saved for the backward pass,
gradients, and the workspace operations take from torch inside their kernels, which a look at tensors alone
would miss. Neither sees what libraries allocate past torch (cuBLAS, oneDNN, Python itself).

Zero is the state before the step was prepared, with the frozen base in memory: all that a variant adds
counts, from its parameters to its activations, and the base's weights do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch._C._autograd import DeviceType

Action = TypeVar("Action", bound=Callable[[], object])

_MEASURED = "benchmarks: the measured call"


def measure_peak(prepare: Callable[[], Action], device: torch.device) -> tuple[Action, int]:
    """Return what ``prepare`` returns, called twice, and the peak of its second call in bytes.

    The first call warms up (optimizer state, caches). Bytes are counted from before
    ``prepare``: what it and the first call leave in memory is part of the peak.
    """
    return (_measure_on_cuda if device.type == "cuda" else _measure_on_cpu)(prepare)


def peak_bytes(changes: Iterable[tuple[int, int]], start: int, end: int) -> int:
    """Return the highest sum of bytes between two times.

    Args:
        changes: (time, bytes) of each allocation, bytes > 0, and release, bytes < 0; sorted by time.
        start, end: the interval, ends included; what is live at its start counts.
    """
    live = peak = 0
    for time, count in changes:
        if time > end:
            break
        if time < start:
            live += count
            peak = live
        else:
            live += count
            peak = max(peak, live)
    return peak


def _measure_on_cuda(prepare: Callable[[], Action]) -> tuple[Action, int]:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    action = prepare()
    action()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    action()
    torch.cuda.synchronize()
    return action, torch.cuda.max_memory_allocated() - before


def _measure_on_cpu(prepare: Callable[[], Action]) -> tuple[Action, int]:
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        action = prepare()
        action()
        with torch.autograd.profiler.record_function(_MEASURED):
            action()
    assert profile.kineto_results is not None
    changes, start, end = [], 0, 0
    for event in profile.kineto_results.events():
        if event.name() == "[memory]" and event.device_type() == DeviceType.CPU:
            changes.append((event.start_ns(), event.nbytes()))
        elif event.name() == _MEASURED:
            start, end = event.start_ns(), event.end_ns()
    return action, peak_bytes(sorted(changes, key=lambda change: change[0]), start, end)
