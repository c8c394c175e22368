"""A Prefect server for the time of one command, where the environment names none."""

from __future__ import annotations

import atexit
import base64
import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from flows.process import die_with_parent, terminate_groups
from flows.redaction import hide_secrets
from oft.errors import UserError

API_URL = "PREFECT_API_URL"
CLIENT_AUTH = "PREFECT_API_AUTH_STRING"
SERVER_AUTH = "PREFECT_SERVER_API_AUTH_STRING"
"""The variables of a client and of a server with ``user:password``."""
WANTS_PASSWORD = f"asks for a password: set {CLIENT_AUTH}=user:password as the server has it"
CLONE = "OFT_CLONE"
"""The variable that names the repository a worker's flows work in; prefect.yaml's pull step reads it."""
RECORD = "serve.json"
"""In the folder of Prefect's state: where `make serve` serves it, and its password; for its user alone."""
START_SECONDS = 120.0
_OWN: list[subprocess.Popen[str]] = []
POLL_SECONDS = 0.1


class Served(NamedTuple):
    """The server that `make serve` runs: the address of its API, and ``user:password``."""

    api: str
    auth: str


def ensure_server(prepare: Callable[[], object]) -> None:
    """Connect this process's Prefect to the server that PREFECT_API_URL names, to the one that `make serve`
    runs for this clone, or to one of its own.

    Prefect would start one by itself, but import the whole server here first; this one starts while
    ``prepare`` runs, half the time. It keeps its records in PREFECT_HOME (.prefect), where later runs and
    `prefect artifact inspect` find them, and ends with this process, after Prefect has sent its last lines
    there.

    Args:
        prepare: work to do meanwhile without a server, such as importing Prefect.

    Raises:
        UserError: the server did not start, nobody answers at the address given, or a password is missing.
    """
    os.environ["NO_PROXY"] = without_proxy()
    adopt_served()
    if api := os.environ.get(API_URL):
        check_access(api)
        prepare()
        return
    port = free_port()
    api, password = f"http://127.0.0.1:{port}/api", new_password()
    process = _start(port, password)
    _OWN.append(process)
    # Last registered, first called: what Prefect registers when it is imported comes before this.
    atexit.register(terminate_groups, [process])
    # Prefect reads its settings when it is imported.
    os.environ |= {API_URL: api, CLIENT_AUTH: password}
    prepare()
    wait_until_healthy(api, process)


def ends_with_process() -> bool:
    """Return whether the server that this process uses is its own and ends with it."""
    return bool(_OWN)


def adopt_served() -> None:
    """Let this process use the server that `make serve` runs for this clone, unless PREFECT_API_URL names
    another one."""
    served = find_served(state_folder(Path.cwd()))
    if served is not None and os.environ.get(API_URL, served.api) == served.api:
        os.environ |= {API_URL: served.api, CLIENT_AUTH: served.auth}


def new_password() -> str:
    """Return a ``user:password`` that nobody has."""
    return f"oft:{secrets.token_urlsafe(24)}"


def import_flow(module: str) -> None:
    """Import a flow's module and DVC, which takes seconds, while a server starts or is found.

    Raises:
        UserError: see `ensure_server`.
    """

    def import_libraries() -> None:
        for name in ("dvc.repo", module):
            import_module(name)

    os.environ.setdefault("DO_NOT_TRACK", "1")
    ensure_server(import_libraries)


def check_access(api: str) -> None:
    """Return if a server answers and lets this environment in.

    Raises:
        UserError: it does not; the message has the remedy.
    """
    headers = {}
    if password := os.environ.get(CLIENT_AUTH):
        headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    elif key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    try:
        with _open(urllib.request.Request(f"{api}/admin/version", headers=headers)):
            return
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise UserError(f"{api} {WANTS_PASSWORD}") from None
    except (urllib.error.URLError, ConnectionError, TimeoutError, ValueError) as error:
        raise UserError(
            hide_secrets(f"PREFECT_API_URL={api}: no server answers there ({error}); ")
            + "start it (`make serve`), correct the address, or unset it"
        ) from None


def state_folder(root: Path) -> Path:
    """Return the folder of Prefect's state, database and logs: PREFECT_HOME, or .prefect in the clone."""
    return Path(os.environ.get("PREFECT_HOME") or root / ".prefect").resolve()


def find_served(folder: Path) -> Served | None:
    """Return the server that `make serve` keeps over the state in ``folder``; None without.

    `make serve` holds a lock on its record for as long as it serves; a record without is of the past.
    """
    try:
        with (folder / RECORD).open(encoding="utf-8") as record:
            # A shared lock, which filelock does not take on such a file: two that ask at once are no server.
            try:
                fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                served = json.load(record)
                return Served(f"{served['ui']}/api", served["auth"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def wait_until_healthy(api: str, process: subprocess.Popen[str]) -> None:
    """Return once a server answers.

    Raises:
        UserError: its process ended, or it has not answered for two minutes.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if is_healthy(api):
            return
        time.sleep(POLL_SECONDS)
    raise UserError(
        f"Prefect's server at {api} did not start; see what `prefect server start` says, or run without it: "
        "make repro"
    )


def is_healthy(api: str) -> bool:
    """Return whether a server answers that it is well; no proxy is asked about this machine."""
    try:
        with _open(urllib.request.Request(f"{api}/health")):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _open(request: urllib.request.Request) -> AbstractContextManager[object]:
    """Open an address; one on this machine without a proxy."""
    here = (request.host or "").partition(":")[0] in ("127.0.0.1", "localhost")
    handlers = [urllib.request.ProxyHandler({})] if here else []
    opened: AbstractContextManager[object] = urllib.request.build_opener(*handlers).open(request, timeout=10)
    return opened


def without_proxy() -> str:
    """Return NO_PROXY as it has to be for libraries to reach a server on this machine."""
    return ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1")))


def _start(port: int, password: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable, "-m", "uvicorn", "--app-dir", str(Path(__file__).parents[1]),
            "--factory", "flows.serve.application:create_app",
            "--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on",
        ],
        # Without the pages for a browser, and without services for schedules, which outlive no command.
        env={
            **os.environ,
            SERVER_AUTH: password,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_UI_ENABLED": "0",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT__SERVER_EPHEMERAL": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )  # fmt: skip
