"""The address of a server, and the environment of each supervised process."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from typing import NamedTuple

from flows.commands import dvc_environment
from flows.serve.marked import MARK
from flows.server import (
    API_URL,
    CLIENT_AUTH,
    CLONE,
    SERVER_AUTH,
    free_port,
    new_password,
    state_folder,
    without_proxy,
)
from oft.errors import UserError

HOST = "127.0.0.1"
WORK_POOL = "oft"
PREFECT_FILE = "prefect.yaml"
SERVER_ONLY = ("PREFECT_SERVER_", "PREFECT_API_DATABASE_")
"""Prefixes of the server's own settings: they include passwords, and a worker needs none."""
MAX_RETRIES = 8
"""How often a flow retries an unreachable server: for 2 + 4 + ... + 2**8 seconds, 8.5 minutes in all."""


class Address(NamedTuple):
    """Where the server listens."""

    port: int

    @property
    def ui(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.ui}/api"


def choose_port(port: int) -> int:
    """Return ``port``, or a free one for 0.

    Raises:
        UserError: another program listens there.
    """
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"--port {port}: this port of {HOST} is not to be had ({error.strerror}). "
                "Choose another, or 0 for one that is free."
            ) from None
    return port


def choose_password() -> str:
    """Return the server's ``user:password``: the operator's, or one that holds until the server ends."""
    return os.environ.get(SERVER_AUTH) or new_password()


def marks(root: Path) -> str:
    """Return how the mark of everything that is served in the clone ``root`` begins."""
    return f"{root}#"


def new_mark(root: Path) -> str:
    """Return a mark that no process has yet."""
    return marks(root) + secrets.token_hex(8)


def server_environment(root: Path, address: Address, password: str, mark: str) -> dict[str, str]:
    """Return the server's environment: the user's settings, but quiet and on this machine alone."""
    return {
        # A page of another site, open in the same browser, must not start runs here.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address.ui,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        # Keep the slots of a deployment's queue over a restart of the server.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # Stages may keep every core busy for a while, and SQLite has its writers wait for each other.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **shared_environment(root, address, mark),
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(address.port),
        SERVER_AUTH: password,
    }


def worker_environment(root: Path, address: Address, password: str, mark: str) -> dict[str, str]:
    """Return the environment of worker, deployments and flow runs, without the server's own settings."""
    shared = shared_environment(root, address, mark)
    environment = {name: value for name, value in shared.items() if not name.startswith(SERVER_ONLY)}
    retries = {"PREFECT_CLIENT_MAX_RETRIES": str(MAX_RETRIES)}
    return {**retries, **environment, CLIENT_AUTH: password, CLONE: str(root)}


def shared_environment(root: Path, address: Address, mark: str) -> dict[str, str]:
    """Return the variables that every process shares."""
    return {
        **dvc_environment(),
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": str(state_folder(root)),
        API_URL: address.api,
        "PREFECT_CLI_PROMPT": "false",
        "NO_PROXY": without_proxy(),
        MARK: mark,
    }
