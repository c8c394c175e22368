"""What a client and a warm server say to each other over a Unix socket.

Server: ``ready``. Client: a ``Job`` as one line of JSON, and its standard streams. Server: ``started PID``.
Client: one byte for each signal it receives. Server: ``exit STATUS``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from pathlib import Path
from typing import NamedTuple, TextIO

from filelock import FileLock

FOLDER = Path(".warm")  # in the current folder, which is the repository's root in every stage DVC runs
FORWARDED_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
CHUNK_BYTES = 1 << 16


class Job(NamedTuple):
    """What a child must adopt to be the process its client would have been."""

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    path: list[str]
    umask: int
    ignored_signals: list[int]


def folder_lock() -> FileLock:
    """Return the folder's lock: servers come and go, and clients look for them, one at a time."""
    return FileLock(FOLDER / "lock")


def check_peer_uid(connection: socket.socket) -> None:
    """Raise PermissionError unless the process at the other end runs as this user."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, user, _group = struct.unpack("3i", credentials)
    if user != os.geteuid():
        raise PermissionError(f"user {user} is at the other end of {FOLDER}")


def send_job(connection: socket.socket, job: Job) -> None:
    """Send ``job`` as one line of JSON, and the standard streams with its first bytes."""
    message = json.dumps(job._asdict()).encode() + b"\n"
    sent = socket.send_fds(connection, [message], [0, 1, 2])
    connection.sendall(message[sent:])


def receive_job(connection: socket.socket) -> tuple[Job, list[int]]:
    """Return a client's job and its three standard streams.

    Raises:
        OSError: the client left, or sent too slowly.
        TypeError, ValueError: the message is no job.
    """
    message, streams, _, _ = socket.recv_fds(connection, CHUNK_BYTES, 3, socket.MSG_CMSG_CLOEXEC)
    try:
        while not message.endswith(b"\n"):
            received = connection.recv(CHUNK_BYTES)
            if not received:
                raise ConnectionError("the client left")
            message += received
        if len(streams) != 3:
            raise ValueError(f"{len(streams)} standard streams came, not 3")
        return Job(**json.loads(message)), streams
    except BaseException:
        close_descriptors(streams)
        raise


def read_reply(word: str, replies: TextIO) -> str:
    """Return what follows ``word`` in the server's next line.

    Raises:
        OSError: another line came, or none in time.
    """
    line = replies.readline()
    found, _, value = line.strip().partition(" ")
    if found != word:
        raise ConnectionError(f"the server said {line!r}, not {word}; its log is {FOLDER / 'log'}")
    return value


def close_descriptors(descriptors: list[int]) -> None:
    """Close file descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)
