"""A web server on this machine that serves files well, or badly in the way a test asks for."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Fault = Callable[["Handler", bytes], None]


class FileServer:
    """Files by path, the faults that the next requests for each get, and what was asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.asked: list[tuple[str, str | None]] = []  # path and Range
        self.authorizations: list[str | None] = []

    def ranges(self, path: str) -> list[str | None]:
        """Return the Range header of each request for a file."""
        return [span for asked, span in self.asked if asked == path]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    files: FileServer

    def do_GET(self) -> None:
        self.close_connection = True
        self.files.asked.append((self.path, self.headers["Range"]))
        self.files.authorizations.append(self.headers["Authorization"])
        data = self.files.files.get(self.path)
        faults = self.files.faults[self.path]
        if faults:
            faults.pop(0)(self, data or b"")
        elif data is None:
            self.answer(404, {})
        else:
            self.serve(data)

    def serve(self, data: bytes) -> None:
        """Serve a file as a good server does: ETag, Range, If-Range."""
        etag = etag_of(data)
        span = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if span and self.headers["If-Range"] in (None, etag):
            start = int(span[1])
            if start >= len(data):
                self.answer(416, {"Content-Range": f"bytes */{len(data)}"})
            else:
                content_range = f"bytes {start}-{len(data) - 1}/{len(data)}"
                self.answer(206, {"ETag": etag, "Content-Range": content_range}, data[start:])
        else:
            self.answer(200, {"ETag": etag}, data)

    def answer(
        self, status: int, headers: dict[str, str], data: bytes = b"", length_bytes: int | None = None
    ) -> None:
        self.send_response(status)
        length = {"Content-Length": str(len(data) if length_bytes is None else length_bytes)}
        for name, value in {**length, "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def etag_of(data: bytes) -> str:
    """Return a strong ETag."""
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'


def status(code: int, **headers: str) -> Fault:
    """Answer with a status alone."""
    return lambda handler, data: handler.answer(
        code, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def cut(sent_bytes: int) -> Fault:
    """Promise all, send that much and hang up."""

    return lambda handler, data: handler.answer(
        200, {"ETag": etag_of(data)}, data[:sent_bytes], length_bytes=len(data)
    )


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Yield a running server."""
    handler = type("BoundHandler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    files = FileServer(f"http://127.0.0.1:{server.server_port}")
    handler.files = files  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield files
    server.shutdown()
    server.server_close()
    thread.join()
