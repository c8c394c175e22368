"""The Ray cluster: the way in, and what its nodes have to give."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from flows.executors.pythonpath import packages
from flows.resources import Pool, Request, for_all_ranks
from oft.errors import UserError, first_line

ADDRESS = "RAY_ADDRESS"
CONNECT_SECONDS = 5.0
GB = 1e9
PACKAGE = "ray[default]==2.60.0"
RECIPE = "docs/ray.md has the recipe"
TOKEN = f"~/.ray/auth_token, or the file RAY_AUTH_TOKEN_PATH names, must be a copy of the head's; {RECIPE}"


class Capacity(NamedTuple):
    """What one node has in all."""

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
            f"got {address!r}; {RECIPE}"
        )
    if address != "auto":
        _knock(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # else Ray does without where it finds none
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # a late call must not start a cluster of its own
    try:
        import ray
        from ray.exceptions import AuthenticationError, RayError
    except ModuleNotFoundError:
        raise UserError(
            f"Ray is not installed; `.venv/bin/uv pip install --python .venv/bin/python '{PACKAGE}'`, as on "
            f"every node; {RECIPE}"
        ) from None
    try:
        with _keep_handlers():
            ray.init(
                address=address,
                log_to_driver=False,
                configure_logging=False,
                runtime_env={"py_modules": packages()},
            )
    except AuthenticationError:
        raise UserError(f"this machine has no token for the Ray cluster at {address}; {TOKEN}") from None
    except ConnectionError as error:  # so Ray ends, after half a minute, where the token is wrong
        raise UserError(
            f"the Ray cluster at {address} does not let this machine in ({first_line(error)}); {TOKEN}"
        ) from None
    except (RayError, RuntimeError, ValueError) as error:
        raise UserError(f"cannot join the Ray cluster at {address}: {first_line(error)}; {RECIPE}") from None


@contextmanager
def _keep_handlers() -> Iterator[None]:
    """Keep what this process does on signals: Ray would print a trace on SIGTERM and end it without order."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers can be set in the main thread alone
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _knock(address: str) -> None:
    """Ray itself waits for minutes where nobody answers."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"{ADDRESS} must be HOST:PORT or auto, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at {ADDRESS}={address} ({error}); `ray start --head` starts one; "
            f"{RECIPE}"
        ) from None


def read_capacities(nodes: Iterable[Mapping[str, Any]]) -> list[Capacity]:
    """Return what each living node has, from what ``ray.nodes()`` says."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return [
        Capacity(int(has.get("CPU", 0)), int(has.get("GPU", 0)), has.get("memory", 0.0) / GB) for has in alive
    ]


def make_pool(capacities: Iterable[Capacity]) -> Pool:
    """Return all of the nodes' cores and GPUs as one pool; which node serves a stage is left to Ray.

    Raises:
        UserError: there is no core.
    """
    have = list(capacities)
    if not (cpus := sum(each.cpus for each in have)):
        raise UserError(f"the Ray cluster has no node with a core to give; `ray start` workers; {RECIPE}")
    gpus = [str(number) for number in range(sum(each.gpus for each in have))]
    return Pool(cpus, gpus, max(each.gpus for each in have))


def fit(stage: str, request: Request, capacities: Iterable[Capacity]) -> dict[str, float]:
    """Return what to ask Ray for, so that some node can give it.

    As on one machine a stage gets all cores of the largest node where it asks for more, and computes on its
    cores where no node has a GPU. Memory is what it is.

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
