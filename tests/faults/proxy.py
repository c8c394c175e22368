"""A proxy in front of an S3 server that answers some requests badly, and notes what it let through."""

from __future__ import annotations

import http.client
import random
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["busy", "hang", "cut", "die"]
FAULTS: tuple[Fault, ...] = ("busy", "hang", "cut", "die")
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
HANG_SECONDS = 30.0
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "expect"}


@dataclass
class Proxy:
    """What the proxy does, and what it has done.

    Of the requests a share ``fault_share`` meets the fault; ``die`` lets ``lives`` objects through and then
    takes no more requests. ``put`` holds the keys that reached the server whole, in order.
    """

    upstream: str
    fault: Fault | None = None
    fault_share: float = 0.3
    lives: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(0))
    address: str = ""
    put: list[str] = field(default_factory=list)
    hit: int = 0
    closing: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def strikes(self, method: str, path: str) -> bool:
        """Whether the fault meets this request."""
        with self._lock:
            if self.fault is None:
                struck = False
            elif self.fault == "die":
                self.lives -= method == "PUT"
                struck = self.lives < 0
            else:
                struck = self.random.random() < self.fault_share
            self.hit += struck
            return struck


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: Proxy

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client has gone, or the fault cut the line
            self.close_connection = True

    def forward(self) -> None:
        length = int(self.headers["Content-Length"] or 0)
        struck = self.proxy.strikes(self.command, self.path)
        if struck and self.proxy.fault == "die":
            self.abort()
        elif struck and self.proxy.fault == "hang":
            self.proxy.closing.wait(HANG_SECONDS)
            self.abort()
        elif struck and self.proxy.fault == "cut" and length:
            self.rfile.read(length // 2)
            self.abort()
        else:
            if self.headers["Expect"] == "100-continue":
                self.send_response_only(100)
                self.end_headers()
            body = self.rfile.read(length)
            if struck and self.proxy.fault == "busy":
                self.answer(503, {"Content-Type": "application/xml"}, BUSY)
            else:
                status, headers, content = self.ask(body)
                if struck and content:
                    self.answer(status, headers, content, sent_bytes=len(content) // 2)
                    self.abort()
                else:
                    self.answer(status, headers, content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = forward

    def ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return what the server answers to the whole request."""
        address = urlsplit(self.proxy.upstream)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            response = connection.getresponse()
            content = response.read()
            if self.command == "PUT" and response.status == 200:
                self.proxy.put.append(urlsplit(self.path).path.lstrip("/").partition("/")[2])
            headers = {name: value for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP}
            if self.command == "HEAD":
                headers["Content-Length"] = response.getheader("Content-Length") or "0"
            return response.status, headers, content
        finally:
            connection.close()

    def answer(
        self, status: int, headers: Mapping[str, str], content: bytes, sent_bytes: int | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:sent_bytes])

    def abort(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A cut line is no error of the proxy's."""


@contextmanager
def faulty_proxy(upstream: str, **settings: object) -> Iterator[Proxy]:
    """Yield a running proxy before the server at ``upstream``."""
    proxy = Proxy(upstream, **settings)  # type: ignore[arg-type]
    server = Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"proxy": proxy}))
    proxy.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
