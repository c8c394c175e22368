"""Which server a command's Prefect talks to."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows import server
from flows.server import (
    API_URL,
    CLIENT_AUTH,
    RECORD,
    Served,
    adopt_served,
    ensure_server,
    find_served,
    free_port,
    is_healthy,
)
from oft.errors import UserError

PASSWORD = "user:pl4nted"
SERVED = json.dumps({"pid": 1, "ui": "http://127.0.0.1:4200", "auth": PASSWORD})


class Healthy(BaseHTTPRequestHandler):
    """As Prefect's server with a password: health is for everybody."""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization") == f"Basic {base64.b64encode(PASSWORD.encode()).decode()}"
        allowed = {"/api/health": True, "/api/admin/version": given}.get(self.path)
        self.send_response({True: 200, False: 401, None: 404}[allowed])
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing of it is printed."""


@pytest.fixture
def healthy() -> Iterator[str]:
    """The address of something that answers as a server does."""
    with HTTPServer(("127.0.0.1", 0), Healthy) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Write a record and hold its lock, as `make serve` does while it serves."""
    with ExitStack() as stack:

        def hold(text: str) -> None:
            record = stack.enter_context((tmp_path / RECORD).open("a+"))
            record.truncate(0)
            record.write(text)
            record.flush()
            fcntl.flock(record, fcntl.LOCK_EX)

        yield hold


def test_the_served_clone_is_found_by_its_record(tmp_path: Path, serve: Callable[[str], None]) -> None:
    assert find_served(tmp_path) is None
    # A record that an ended server left behind: another clone may be served there by now.
    (tmp_path / RECORD).write_text(SERVED)
    assert find_served(tmp_path) is None
    serve(SERVED)
    assert find_served(tmp_path) == Served("http://127.0.0.1:4200/api", PASSWORD)


@pytest.mark.parametrize("broken", ["", "{}", "[]", "{"])
def test_a_record_that_is_being_written_is_none(
    broken: str, tmp_path: Path, serve: Callable[[str], None]
) -> None:
    serve(broken)
    assert find_served(tmp_path) is None


@pytest.mark.parametrize(
    ("url", "auth"),
    [
        (None, PASSWORD),
        ("http://127.0.0.1:4200/api", PASSWORD),  # that of an earlier `make serve` no longer holds
        ("https://oft.example.org/api", "team:0ther"),
    ],
)
def test_the_password_goes_to_the_served_server_alone(
    url: str | None, auth: str, tmp_path: Path, serve: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv(CLIENT_AUTH, "team:0ther")
    monkeypatch.setenv(API_URL, url or "")  # so that it is restored
    if url is None:
        monkeypatch.delenv(API_URL)
    serve(SERVED)
    adopt_served()
    assert os.environ[CLIENT_AUTH] == auth
    assert os.environ[API_URL] == url or url is None


def test_no_proxy_is_asked_about_this_machine(healthy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert is_healthy(f"{healthy}/api")
    assert not is_healthy(f"http://127.0.0.1:{free_port()}/api")


@pytest.mark.parametrize("named", [True, False])
def test_a_server_that_is_there_is_used(
    named: bool,
    tmp_path: Path,
    healthy: str,
    serve: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared: list[str | None] = []
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setattr(server, "_start", lambda *_: pytest.fail("a second server was started"))
    if named:
        monkeypatch.setenv(API_URL, f"{healthy}/api")
        monkeypatch.setenv(CLIENT_AUTH, PASSWORD)
    else:
        for name in (API_URL, CLIENT_AUTH):
            monkeypatch.setenv(name, "")  # so that it is restored
            monkeypatch.delenv(name)
        serve(json.dumps({"pid": 1, "ui": healthy, "auth": PASSWORD}))
    monkeypatch.setenv("NO_PROXY", "")  # so that it is restored
    ensure_server(lambda: prepared.append(os.environ.get(API_URL)))
    assert prepared == [f"{healthy}/api"]


def test_a_missing_password_and_a_wrong_address_are_told_with_the_remedy(
    healthy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")  # so that it is restored
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    monkeypatch.setenv(API_URL, f"{healthy}/api")
    with pytest.raises(UserError, match="set PREFECT_API_AUTH_STRING"):
        ensure_server(lambda: pytest.fail("went on"))
    for wrong in (f"http://127.0.0.1:{free_port()}/api", "no address"):
        monkeypatch.setenv(API_URL, wrong)
        with pytest.raises(UserError, match="no server answers there"):
            ensure_server(lambda: pytest.fail("went on"))
