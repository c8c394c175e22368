"""The resources a stage requests and a machine has: cores, GPUs and, on a cluster, memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from oft.errors import UserError

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
TRAIN_PROCESSES = "OFT_TRAIN_PROCESSES"


class ResourceRequest(NamedTuple):
    """The resources of one stage while it runs, from its ``meta`` in dvc.yaml.

    ``gpus`` is 0 or 1, and counts where there are GPUs alone: on a machine without any the stage computes on
    its processors. A cluster reserves ``memory_gb``; one machine does not. ``ranks``:
    it runs as the processes that OFT_TRAIN_PROCESSES asks for, each of which takes all of this.
    """

    cpus: int = 1
    gpus: int = 0
    memory_gb: float = 0.0
    ranks: bool = False


def parse_resource_request(stage: str, meta: Any) -> ResourceRequest:
    """Return the request in a stage's ``meta``: {cpus, gpus, memory_gb, ranks}; each may be left out.

    Raises:
        UserError: a key is unknown or a value is out of range.
    """
    values = {} if meta is None else meta
    rule = "meta may have cpus (1 or more), gpus (0 or 1), memory_gb (0 or more) and ranks (true or false)"
    if not isinstance(values, Mapping) or not set(values) <= set(ResourceRequest._fields):
        raise UserError(f"dvc.yaml, stage {stage}: {rule}; it is {meta!r}")
    request = ResourceRequest(**values)
    if (
        not all(isinstance(count, int) for count in request[:2])
        or not isinstance(request.memory_gb, (int, float))
        or not isinstance(request.ranks, bool)
        or request.cpus < 1
        or request.gpus not in (0, 1)
        or request.memory_gb < 0
    ):
        raise UserError(f"dvc.yaml, stage {stage}: {rule}; it is {meta!r}")
    return request


def for_all_ranks(request: ResourceRequest, environment: Mapping[str, str], num_gpus: int) -> ResourceRequest:
    """Return the resources of all of a stage's processes together, on a machine with ``num_gpus`` GPUs.

    A malformed number of processes counts as one here; the training itself refuses it, with the rule.
    """
    asked = environment.get(TRAIN_PROCESSES, "1") if request.ranks else "1"
    if asked in ("auto", "gpus"):
        asked = str(num_gpus)
    count = max(1, int(asked)) if asked.isdecimal() else 1
    return ResourceRequest(request.cpus * count, request.gpus * count, request.memory_gb * count)


@dataclass(frozen=True)
class Lease:
    """The share of a pool that a running stage holds."""

    cpus: int
    gpus: tuple[str, ...]
    has_gpus: bool

    @property
    def environment(self) -> dict[str, str]:
        """The variables that show a stage its own GPUs and no other; none where there are no GPUs."""
        return {VISIBLE_GPUS: ",".join(self.gpus)} if self.has_gpus else {}


class ResourcePool:
    """Cores and GPUs that stages running side by side share; safe to use from several threads.

    Args:
        cpus: cores; a stage that asks for more than there are takes them all.
        gpus: ids of the GPUs, as CUDA_VISIBLE_DEVICES takes them; each serves one stage at a time.
        machine_gpus: those of the largest machine, where the pool is of several; None: all are of one.
    """

    def __init__(self, cpus: int, gpus: Sequence[str] = (), machine_gpus: int | None = None) -> None:
        self._machine_gpus = len(gpus) if machine_gpus is None else machine_gpus
        self.cpus, self.gpus = cpus, tuple(gpus)
        self._free_cpus, self._free_gpus = cpus, list(gpus)
        self._guard = threading.Lock()

    def reserve(self, request: ResourceRequest) -> Lease | None:
        """Return the requested resources, or None while they are not free."""
        wanted = for_all_ranks(request, os.environ, self._machine_gpus)
        cpus, gpus = min(wanted.cpus, self.cpus), min(wanted.gpus, len(self.gpus))
        with self._guard:
            if cpus > self._free_cpus or gpus > len(self._free_gpus):
                return None
            self._free_cpus -= cpus
            taken, self._free_gpus = self._free_gpus[:gpus], self._free_gpus[gpus:]
            return Lease(cpus, tuple(taken), bool(self.gpus))

    def release(self, lease: Lease) -> None:
        """Take back a stage's resources."""
        with self._guard:
            self._free_cpus += lease.cpus
            self._free_gpus = sorted([*self._free_gpus, *lease.gpus], key=self.gpus.index)


def find_gpus() -> tuple[str, ...]:
    """Return the ids of the NVIDIA GPUs this process may use: CUDA_VISIBLE_DEVICES', else all there are."""
    chosen = os.environ.get(VISIBLE_GPUS)
    if chosen is not None:
        return tuple(part.strip() for part in chosen.split(",") if part.strip())
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    asked = subprocess.run(
        [tool, "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return tuple(asked.stdout.split()) if asked.returncode == 0 else ()
