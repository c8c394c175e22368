"""Work dealt out to processes: results in order, a bounded number of items under way, nothing left behind.

How many processes there are is never a setting of a run: it must not change a result.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

from oft.errors import WorkerError

WORKERS = "OFT_WORKERS"
CHUNK_ITEMS = 8
"""What a process is handed at a time. Fewer items than this are done in the calling process."""

CHUNKS_AHEAD = 2
"""How many chunks for each process are under way or waiting to be taken."""

# Libraries with threads of their own, which a fork would leave in an unknown state.
_THREADED = ("cv2", "torch")
_CV2_THREADS = "OPENCV_FOR_THREADS_NUM"

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_workers() -> int:
    """Return how many processes share the work: OFT_WORKERS, else the cores this process may use.

    Raises:
        WorkerError: OFT_WORKERS is no whole number of 1 or more.
    """
    given = os.environ.get(WORKERS)
    if given is None:
        return usable_cores()
    if not given.isdecimal() or int(given) < 1:
        raise WorkerError(f"{WORKERS} must be a whole number of 1 or more, got {given!r}; mend or unset it")
    return int(given)


def parallel_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], stage: str
) -> Iterator[_Result]:
    """Yield ``function(item)`` of each item, in the items' order.

    Items are drawn as results are taken: at most CHUNK_ITEMS * (CHUNKS_AHEAD * workers) are ahead of the
    caller, so memory does not grow with their number. What ``function`` raises is raised here with its type.
    Ctrl-C ends the processes within one call of ``function``, and so does the end of this process, even a
    violent one. With one worker all of it happens in this process.

    Args:
        function: of a module's top level, or a ``functools.partial`` of one.
        items: with results, able to be pickled.
        stage: named in the error.

    Raises:
        WorkerError: a process died, or OFT_WORKERS breaks its rule.
    """
    workers = num_workers()
    items = iter(items)
    head = list(islice(items, CHUNK_ITEMS))
    if workers == 1 or len(head) < CHUNK_ITEMS:
        yield from map(function, chain(head, items))
        return
    context = multiprocessing.get_context(_start_method())
    stopped = context.Event()
    executor = ProcessPoolExecutor(workers, context, _init_worker, (function, stopped))
    pending: deque[Future[list[_Result]]] = deque()
    try:
        for chunk in chain([head], iter(lambda: list(islice(items, CHUNK_ITEMS)), [])):
            pending.append(executor.submit(_run_chunk, chunk))
            if len(pending) == CHUNKS_AHEAD * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as fault:
        raise WorkerError(
            f"{stage}: one of its {workers} processes died, most likely killed for want of memory; "
            f"run it again with fewer of them, for example {WORKERS}={max(1, workers // 2)}"
        ) from fault
    finally:
        stopped.set()
        executor.shutdown(cancel_futures=True)


def _start_method() -> str:
    """Fork takes milliseconds, spawn a second; but only a process without foreign threads can be forked."""
    forkable = sys.platform == "linux" and not any(name in sys.modules for name in _THREADED)
    return "fork" if forkable else "spawn"


_function: Callable[[Any], Any]
_stopped: Event


def _init_worker(function: Callable[[Any], Any], stopped: Event) -> None:
    global _function, _stopped
    _function, _stopped = function, stopped
    # Ctrl-C reaches every process of the terminal; the parent is the one to answer it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ[_CV2_THREADS] = "1"  # read when cv2 is imported: there is one process a core already
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _run_chunk(chunk: list[Any]) -> list[Any]:
    results = []
    for item in chunk:
        if _stopped.is_set():
            break
        results.append(_function(item))
    return results
