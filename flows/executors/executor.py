"""Where a stage runs: on this machine (``local``) or on any node of a cluster (``ray``).

The environment chooses (OFT_EXECUTOR), never params or dvc.yaml: where a stage runs must not change a result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from flows.process import CommandResult
from flows.resources import Lease, ResourcePool, ResourceRequest
from oft.errors import UserError

EXECUTOR = "OFT_EXECUTOR"
EXECUTORS = ("local", "ray")


class Executor(Protocol):
    """Runs single stages; its methods are called from several threads."""

    pool: ResourcePool

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` has been called: a stage that dies from then on has been ended."""

    def run(self, stage: str, lease: Lease, log: Callable[[str], None]) -> CommandResult:
        """Bring one stage up to date, after its dependencies; ``log`` gets every line it prints."""

    def stop(self) -> None:
        """End all running stages, with their children; a later ``run`` ends at once."""


@contextmanager
def open_executor(
    root: Path, requests: Mapping[str, ResourceRequest], jobs: int | None = None
) -> Iterator[Executor]:
    """Yield the executor that OFT_EXECUTOR names, ``local`` by default; its stages end with the block.

    Args:
        root: the DVC repository's root.
        requests: the resources that each stage reserves.
        jobs: stages at a time on this machine, instead of one a core.

    Raises:
        UserError: there is no such executor, or a requirement of it is missing.
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
