"""What the tests of training requests share: pictures, what a server allows, a web server on this machine."""

from __future__ import annotations

import base64
import io
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from flows.requests.site import HOSTS, ROOTS, WEBHOOK_SECRET, Site
from flows.server import CLONE
from oft.pictures import encode_png
from tests.conftest import ROOT

SECRET = f"whsec_{base64.b64encode(b'planted secret for webhooks').decode()}"


def picture(seed: int, side_px: int = 64) -> bytes:
    """A PNG of noise."""
    rng = np.random.default_rng(seed)
    return encode_png(rng.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8))


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip archive of some files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.fixture
def pictures() -> dict[str, bytes]:
    """Three sound pictures by name."""
    return {f"robot/{name}.png": picture(seed) for seed, name in enumerate("abc")}


@pytest.fixture
def asked(tmp_path: Path, pictures: dict[str, bytes]) -> dict[str, Any]:
    """A sound request for the archive ``trainings/robot.zip``."""
    (tmp_path / "trainings").mkdir()
    (tmp_path / "trainings" / "robot.zip").write_bytes(zipped(pictures))
    return {
        "instance_images": "robot.zip",
        "instance_prompt": "a photo of sks robot",
        "class_prompt": "a photo of robot",
        "output": "results",
    }


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """This repository, one folder, one bucket's prefix, no trusted host."""
    return Site(ROOT, (str(tmp_path / "trainings"), "s3://bucket/trainings"))


@pytest.fixture
def server_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An operator's environment: this repository, a folder, a bucket, a secret; no host is trusted."""
    monkeypatch.setenv(CLONE, str(ROOT))
    monkeypatch.setenv(ROOTS, f"{tmp_path / 'trainings'} s3://bucket/trainings")
    monkeypatch.setenv(WEBHOOK_SECRET, SECRET)
    monkeypatch.delenv(HOSTS, raising=False)
    return monkeypatch


class Seen(NamedTuple):
    """A request that the web server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Seen], tuple[int, dict[str, str], bytes]]


class WebServer:
    """Answers every request by ``answer`` and keeps what it saw."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.answer: Answer = lambda _: (200, {}, b"")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                outer.seen.append(seen)
                status, headers, content = outer.answer(seen)
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _handle

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.authority = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.authority}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server on this machine."""
    server = WebServer()
    yield server
    server.stop()
