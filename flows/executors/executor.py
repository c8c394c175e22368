"""Where a stage runs: on this machine (``local``) or on any node of a cluster (``ray``).

The environment chooses (OFT_EXECUTOR), never params or dvc.yaml: where a stage runs must not change a result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from flows.process import Finished
from flows.resources import Lease, Pool, Request
from oft.errors import UserError

EXECUTOR = "OFT_EXECUTOR"
EXECUTORS = ("local", "ray")


class Executor(Protocol):
    """Brings single stages up to date; its methods are called from several threads."""

    pool: Pool

    def run(self, stage: str, lease: Lease, log: Callable[[str], None]) -> Finished:
        """Bring one stage up to date, those it needs being so already; ``log`` gets every line it prints."""

    def stop(self) -> None:
        """End all that runs, with its children; what is asked for afterwards ends at once."""


@contextmanager
def open_executor(root: Path, requests: Mapping[str, Request], jobs: int | None = None) -> Iterator[Executor]:
    """Yield the executor that OFT_EXECUTOR names, ``local`` if it names none; nothing of it runs on after.

    Args:
        root: the DVC repository's root.
        requests: what each stage asks for.
        jobs: stages at a time on this machine, instead of one a core.

    Raises:
        UserError: there is no such executor, or what it needs is missing.
    """
    name = os.environ.get(EXECUTOR, "local")
    executor: Executor
    if name == "local":
        from flows.executors.local import LocalExecutor

        executor = LocalExecutor(root, jobs)
    elif name == "ray":
        from flows.executors.ray import RayExecutor

        executor = RayExecutor(root, requests)
    else:
        raise UserError(f"{EXECUTOR} must be one of {', '.join(EXECUTORS)}, got {name!r}; mend or unset it")
    try:
        yield executor
    finally:
        executor.stop()
