"""The child of a warm server: a fork that becomes the process its client would have been."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import runpy
import signal
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from .protocol import FORWARDED_SIGNALS, Job, close_descriptors


class Client(NamedTuple):
    """A client as the server knows it: its job, its standard streams, and the connection to it."""

    job: Job
    streams: list[int]
    connection: socket.socket


def adopt_client(client: Client, imported_environment: dict[str, str]) -> None:
    """Turn this fork of the server into the process its client would have been.

    Args:
        client: whose job, streams and connection the fork takes on.
        imported_environment: variables that importing the libraries has set, as it would have in the client.
    """
    job = client.job
    check_cuda_unused()
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    for number in FORWARDED_SIGNALS:
        signal.signal(number, signal.SIG_IGN if number in job.ignored_signals else signal.SIG_DFL)
    if signal.SIGINT not in job.ignored_signals:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, stream in enumerate(client.streams):
        os.dup2(stream, target)
    close_descriptors(client.streams)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())
    os.chdir(job.folder)
    os.umask(job.umask)
    os.environ.clear()
    os.environ.update(job.environment | imported_environment)
    sys.path[:] = job.path
    sys.argv[:] = [job.module, *job.arguments]
    importlib.invalidate_caches()
    with client.connection as connection:
        connection.sendall(f"started {os.getpid()}\n".encode())


def check_cuda_unused() -> None:
    """Raise RuntimeError in a fork that cannot use the GPU, because its server has used CUDA after all."""
    torch = sys.modules.get("torch")
    lost = torch is not None and torch.cuda._is_in_bad_fork()  # true without a GPU as well
    if lost and "/libcuda.so" in Path("/proc/self/maps").read_text():
        raise RuntimeError("importing the libraries initialised CUDA, so stages cannot start warm here")


def run_module(module: str) -> int:
    """Run a module as ``python -m`` does and return its exit status; raise what Python would print."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except BaseException as raised:
        if isinstance(raised, SystemExit) and isinstance(raised.code, int | None):
            return raised.code or 0
        gc.unfreeze()  # Python's own shutdown finds what it would find after a cold start
        raise
    return 0
