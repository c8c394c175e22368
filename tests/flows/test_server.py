"""Which server a command's Prefect talks to."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows import server
from flows.server import API_URL, RECORD, ensure_server, free_port, served_api


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
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


def test_the_served_clone_is_found_by_its_record(tmp_path: Path, healthy: str) -> None:
    assert served_api(tmp_path) is None
    for broken in ("", "{}", "[]", "{"):
        (tmp_path / RECORD).write_text(broken)
        assert served_api(tmp_path) is None
    (tmp_path / RECORD).write_text(json.dumps({"pid": 1, "ui": healthy}))
    assert served_api(tmp_path) == f"{healthy}/api"
    # A record that a killed server left behind.
    (tmp_path / RECORD).write_text(json.dumps({"pid": 1, "ui": f"http://127.0.0.1:{free_port()}"}))
    assert served_api(tmp_path) is None


@pytest.mark.parametrize("named", [True, False])
def test_a_server_that_is_there_is_used(
    named: bool, tmp_path: Path, healthy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[str | None] = []
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setattr(server, "_start", lambda port: pytest.fail("a second server was started"))
    if named:
        monkeypatch.setenv(API_URL, "http://127.0.0.1:1/api")
    else:
        monkeypatch.setenv(API_URL, "")  # so that it is restored
        monkeypatch.delenv(API_URL)
        (tmp_path / RECORD).write_text(json.dumps({"pid": 1, "ui": healthy}))
    ensure_server(lambda: prepared.append(os.environ.get(API_URL)))
    assert prepared == ["http://127.0.0.1:1/api" if named else f"{healthy}/api"]
