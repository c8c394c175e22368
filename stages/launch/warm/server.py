"""The warm server: imports libraries once, forks a child for each client, and exits when it is idle."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from .child import Client, adopt_client, run_module
from .key import modification_times
from .protocol import check_peer_uid, close_descriptors, folder_lock, receive_job

SEND_SECONDS = 10.0  # how long a server waits for a client to say what it wants
TICK_SECONDS = 1.0


def main(path: str, libraries: str) -> int:
    """Serve at the listening socket that is standard input, or, in each child, run its client's module.

    Args:
        path: the socket's file.
        libraries: what to import, as for ``import_libraries``.

    Returns:
        The exit status of this process.
    """
    at_start = dict(os.environ)
    listener = socket.socket(fileno=os.dup(0))
    import_libraries(libraries)
    # What is imported stays for good: no child need look through it, and so copy its pages, for garbage.
    gc.collect()
    gc.freeze()
    idle_seconds = float(os.environ.get("OFT_WARM_IDLE_SECONDS", "120"))
    client = Server(listener, Path(path), idle_seconds).serve()
    if client is None:
        return 0
    adopt_client(client, {name: value for name, value in os.environ.items() if at_start.get(name) != value})
    return run_module(client.job.module)


def import_libraries(names: str) -> None:
    """Import modules; of those written ``module:A,B`` the attributes too, which lazy packages load then."""
    # diffusers asks for a GPU while it is imported; NVML answers without the CUDA context no fork survives.
    asked = os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK")
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    for name in names.split():
        module, _, attributes = name.partition(":")
        imported = importlib.import_module(module)
        for attribute in filter(None, attributes.split(",")):
            getattr(imported, attribute)
    del os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"]
    if asked is not None:
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = asked
    if threading.active_count() > 1:
        raise RuntimeError(f"importing left threads, which a fork would lose: {threading.enumerate()}")


class Server:
    """Answers clients at one socket.

    Attributes:
        children: the connection to the client of each child's pid; None where the client has left.
    """

    def __init__(self, listener: socket.socket, path: Path, idle_seconds: float) -> None:
        self.listener, self.path, self.idle_seconds = listener, path, idle_seconds
        self.socket_file, self.libraries = path.stat(), modification_times()
        self.children: dict[int, socket.socket | None] = {}

    def serve(self) -> Client | None:
        """Answer clients until there is reason to exit. Returns None then, and in every child its client."""
        last_busy = time.monotonic()
        with self.listener, watch_children() as ended:
            while True:
                clients = [client for client in self.children.values() if client is not None]
                readable, _, _ = select.select([self.listener, ended, *clients], [], [], TICK_SECONDS)
                if ended in readable:
                    ended.recv(4096)
                self._forward_signals(readable)
                self._report_ended_children()
                if self.listener in readable and (client := self._fork_for_client()) is not None:
                    return client
                if self.children or self.listener in readable:
                    last_busy = time.monotonic()
                    continue
                idle = time.monotonic() - last_busy > self.idle_seconds
                if (idle or self._is_outdated()) and self._remove_socket():
                    return None

    def _forward_signals(self, readable: Collection[socket.socket]) -> None:
        for pid, client in self.children.items():
            if client is not None and client in readable:
                self.children[pid] = forward_signal(client, pid)

    def _report_ended_children(self) -> None:
        while self.children and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            report_exit(self.children.pop(ended[0], None), ended[1])

    def _fork_for_client(self) -> Client | None:
        """Fork a child for the next client. Returns the client in the child, and None here."""
        client = accept_client(self.listener)
        if client is None:
            return None
        try:
            pid = os.fork()
        except OSError as error:
            print(f"no child for {client.job.module}: {error}", flush=True)
            close_descriptors([*client.streams, client.connection.detach()])
            return None
        if pid == 0:
            for other in filter(None, self.children.values()):
                other.close()
            return client
        self.children[pid] = client.connection
        close_descriptors(client.streams)
        with contextlib.suppress(OSError):  # the child does it too: whoever comes first
            os.setpgid(pid, pid)
        return None

    def _is_outdated(self) -> bool:
        """Return whether the socket or the libraries are no longer those the server began with."""
        try:
            unchanged = os.path.samestat(self.path.stat(), self.socket_file)
            return not unchanged or modification_times() != self.libraries
        except FileNotFoundError:
            return True

    def _remove_socket(self) -> bool:
        """Remove this server's socket; return false if a client has connected meanwhile."""
        with contextlib.suppress(FileNotFoundError), folder_lock():
            if select.select([self.listener], [], [], 0)[0]:
                return False
            if os.path.samestat(self.path.stat(), self.socket_file):
                self.path.unlink()
        return True


@contextlib.contextmanager
def watch_children() -> Iterator[socket.socket]:
    """Yield a socket that is readable once a child has ended."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def accept_client(listener: socket.socket) -> Client | None:
    """Return the next client; None if it asks for nothing that can be understood."""
    connection, _ = listener.accept()
    try:
        connection.settimeout(SEND_SECONDS)
        check_peer_uid(connection)
        connection.sendall(b"ready\n")
        return Client(*receive_job(connection), connection)
    except (OSError, TypeError, ValueError) as error:
        print(f"refused: {error}", flush=True)
        connection.close()
        return None


def forward_signal(client: socket.socket, pid: int) -> socket.socket | None:
    """Forward a client's signals to its child's process group; SIGKILL and return None if it is gone."""
    try:
        numbers = client.recv(64)
    except OSError:
        numbers = b""
    for number in numbers or [signal.SIGKILL]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
    if numbers:
        return client
    client.close()
    return None


def report_exit(client: socket.socket | None, status: int) -> None:
    """Tell a client, if it is still there, how its child ended."""
    if client is not None:
        with client, contextlib.suppress(OSError):
            client.sendall(f"exit {os.waitstatus_to_exitcode(status)}\n".encode())
