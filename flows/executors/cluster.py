"""The Ray cluster: how to join it, and the capacity of its nodes."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from flows.executors.pythonpath import package_folders
from flows.resources import ResourcePool, ResourceRequest, for_all_ranks
from oft.errors import UserError, first_line

ADDRESS = "RAY_ADDRESS"
CONNECT_SECONDS = 5.0
GB = 1e9
PACKAGE = "ray[default]==2.60.0"
SEE_DOCS = "docs/ray.md has the recipe"
TOKEN = f"~/.ray/auth_token, or the file RAY_AUTH_TOKEN_PATH names, must be a copy of the head's; {SEE_DOCS}"


class Capacity(NamedTuple):
    """The total resources of one node."""

    cpus: int
    gpus: int
    memory_gb: float


def connect(environment: Mapping[str, str]) -> None:
    """Join the cluster at RAY_ADDRESS as the head of a run.

    Raises:
        UserError: there is no address, nobody answers there, the token is wrong, or its Ray is another.
    """
    address = environment.get(ADDRESS, "")
    if not address or "://" in address:
        raise UserError(
            f"{ADDRESS} must be HOST:PORT of the head of a Ray cluster that this machine is a node of, "
            f"got {address!r}; {SEE_DOCS}"
        )
    if address != "auto":
        _check_reachable(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # else Ray does without where it finds none
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # a late call must not start a cluster of its own
    try:
        import ray
        from ray.exceptions import AuthenticationError, RayError
    except ModuleNotFoundError:
        raise UserError(
            f"Ray is not installed; `.venv/bin/uv pip install --python .venv/bin/python '{PACKAGE}'`, as on "
            f"every node; {SEE_DOCS}"
        ) from None
    try:
        with _preserve_signal_handlers():
            ray.init(
                address=address,
                log_to_driver=False,
                configure_logging=False,
                runtime_env={"py_modules": package_folders()},
            )
    except AuthenticationError:
        raise UserError(f"this machine has no token for the Ray cluster at {address}; {TOKEN}") from None
    except ConnectionError as error:  # so Ray ends, after half a minute, where the token is wrong
        raise UserError(
            f"the Ray cluster at {address} does not let this machine in ({first_line(error)}); {TOKEN}"
        ) from None
    except (RayError, RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot join the Ray cluster at {address}: {first_line(error)}; {SEE_DOCS}"
        ) from None


@contextmanager
def _preserve_signal_handlers() -> Iterator[None]:
    """Restore this process's signal handlers: Ray's own print a trace on SIGTERM and skip our cleanup."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers can be set in the main thread alone
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _check_reachable(address: str) -> None:
    """Fail at once where nobody answers: Ray itself waits for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"{ADDRESS} must be HOST:PORT or auto, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at {ADDRESS}={address} ({error}); `ray start --head` starts one; "
            f"{SEE_DOCS}"
        ) from None


def read_capacities(nodes: Iterable[Mapping[str, Any]]) -> list[Capacity]:
    """Return the capacity of each living node in ``ray.nodes()``."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return [
        Capacity(int(has.get("CPU", 0)), int(has.get("GPU", 0)), has.get("memory", 0.0) / GB) for has in alive
    ]


def cluster_pool(capacities: Iterable[Capacity]) -> ResourcePool:
    """Return all of the nodes' cores and GPUs as one pool; Ray chooses the node for a stage.

    Raises:
        UserError: there is no core.
    """
    have = list(capacities)
    if not (cpus := sum(each.cpus for each in have)):
        raise UserError(f"the Ray cluster has no node with a core to give; `ray start` workers; {SEE_DOCS}")
    gpus = [str(number) for number in range(sum(each.gpus for each in have))]
    return ResourcePool(cpus, gpus, max(each.gpus for each in have))


def ray_options(stage: str, request: ResourceRequest, capacities: Iterable[Capacity]) -> dict[str, float]:
    """Return the options of the stage's Ray task, such that some node can satisfy them.

    As on one machine a stage gets all cores of the largest node where it asks for more, and computes on its
    cores where no node has a GPU. Its memory must fit.

    Raises:
        UserError: no node has the memory, or none both that and a GPU.
    """
    have = list(capacities)
    most_gpus = max(each.gpus for each in have)
    request = for_all_ranks(request, os.environ, most_gpus)
    gpus = min(request.gpus, most_gpus)
    able = [each for each in have if each.gpus >= gpus and each.memory_gb >= request.memory_gb and each.cpus]
    if not able:
        most = max(each.memory_gb for each in have if each.gpus >= gpus)
        raise UserError(
            f"dvc.yaml, stage {stage}: no node of the Ray cluster has memory_gb {request.memory_gb:g}"
            f"{' beside a GPU' if gpus else ''} (the most is {most:.1f}); lower it or add a larger node"
        )
    cpus = min(request.cpus, max(each.cpus for each in able))
    return {"num_cpus": cpus, "num_gpus": gpus, "memory": request.memory_gb * GB}
