"""A time limit over all of a connection's waits together."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Deadline:
    """Shuts down every connection it watches once its seconds are over; until then it is a ``with`` block.

    A socket's own timeout begins anew with every byte that comes: a server that sends one byte now and then
    holds its client for ever.

    Attributes:
        seconds: from the begin of the block.
        is_over: whether they have passed; later reads may be cut short.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_over = False
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(max(seconds, 0.0), self._end)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            while self._watched:
                self._watched.pop().close()

    def watch(self, connection: socket.socket) -> None:
        """Shut a connection down at the end, or now if that has been."""
        # TLS takes the socket away from who opened it; a second one for the same connection stays ours.
        second = connection.dup()
        with self._lock:
            self._watched.append(second)
            if self.is_over:
                _shut_down(second)

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            for connection in self._watched:
                _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was first
        connection.shutdown(socket.SHUT_RDWR)
