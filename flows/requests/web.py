"""HTTP to addresses from a request: connections to checked addresses only, no proxy, bounded in size and
time."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import urllib3

from flows.requests.addresses import Endpoint, parse_endpoint, resolve_host
from flows.requests.deadline import Deadline
from flows.requests.site import Site
from oft.errors import DataError
from oft.storage import CHUNK_BYTES, atomic_file, translate_enospc

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
MAX_REDIRECTS = 5
TIMED_OUT = "no answer in time"
_REDIRECTS = (301, 302, 303, 307, 308)
# Nothing has been sent yet: the host's next address may be asked.
_UNCONNECTED = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)


def download(url: str, target: Path, site: Site, *, max_bytes: int, max_seconds: float) -> None:
    """Bring the file at an address to ``target``, whole or not at all; every redirection is checked anew.

    Args:
        max_seconds: for all of it, redirections too.

    Raises:
        DataError: an address is not allowed, the server refuses or breaks off, or the file is larger or takes
            longer than it may. The message has no query of an address.
    """
    with (
        translate_enospc(target),
        Deadline(max_seconds) as deadline,
        _follow_redirects(url, site, deadline) as (endpoint, response),
        atomic_file(target) as partial,
        partial.open("wb") as sink,
    ):
        received = 0
        for chunk in _chunks(endpoint, response, deadline):
            received += len(chunk)
            if received > max_bytes:
                raise DataError(f"{endpoint.shown} is larger than {max_bytes / 1e6:.0f} MB")
            sink.write(chunk)
        stated = response.headers.get("Content-Length", "")
        if stated.isdecimal() and (stated.lstrip("0") or "0") != str(received):  # of any number of digits
            raise DataError(f"{endpoint.shown} broke off after {received} of {stated[:20]} bytes")


def post(url: str, body: bytes, headers: Mapping[str, str], site: Site, *, seconds: float) -> int:
    """Return the status that a server answers a POST with; a redirection is not followed.

    Args:
        seconds: for connecting, sending and the answer together.

    Raises:
        DataError: the address is not allowed.
        ConnectionError: the server cannot be reached or does not answer in time.
    """
    endpoint = parse_endpoint(url, site.hosts)
    with (
        Deadline(seconds) as deadline,
        _open(endpoint, "POST", body, headers, seconds, deadline) as response,
    ):
        return int(response.status)


@contextmanager
def _follow_redirects(
    url: str, site: Site, deadline: Deadline
) -> Iterator[tuple[Endpoint, urllib3.BaseHTTPResponse]]:
    """Yield the response with status 200 at an address, or where its redirections lead."""
    plain = {"Accept-Encoding": "identity"}
    for _ in range(MAX_REDIRECTS + 1):
        endpoint = parse_endpoint(url, site.hosts)
        try:
            with _open(endpoint, "GET", None, plain, READ_SECONDS, deadline) as response:
                location = response.headers.get("Location")
                if response.status == 200:
                    yield endpoint, response
                    return
                if response.status not in _REDIRECTS or not location:
                    raise DataError(f"{endpoint.shown} answers with status {response.status}")
        except ConnectionError as error:
            raise DataError(str(error)) from error
        try:
            url = urljoin(url, location)
        except ValueError:  # such as http://[
            raise DataError(f"{endpoint.shown} leads on to what is no valid address") from None
    raise DataError(f"{endpoint.shown} leads on more than {MAX_REDIRECTS} times")


class _Watched(urllib3.connection.HTTPConnection):
    """A connection that its deadline shuts down."""

    def __init__(self, *args: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline = deadline

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        self._deadline.watch(connection)
        return connection


class _WatchedTLS(_Watched, urllib3.connection.HTTPSConnection):
    """The same below TLS, so that its handshake is watched too."""


@contextmanager
def _open(
    endpoint: Endpoint,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
    read_seconds: float,
    deadline: Deadline,
) -> Iterator[urllib3.BaseHTTPResponse]:
    """Yield a server's answer, its body still to come, from the first of its addresses that can be reached.

    Raises:
        DataError: the address is not allowed.
        ConnectionError: there is no answer; faults of who reads it pass as they are.
    """
    addresses = resolve_host(endpoint)
    for address in addresses:
        pool = _connection_pool(endpoint, address, read_seconds, deadline)
        try:
            try:
                response = pool.urlopen(
                    method,
                    endpoint.path,
                    body=body,
                    headers={"Host": endpoint.authority, "User-Agent": "oft-trainings", **headers},
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if isinstance(error, _UNCONNECTED) and address != addresses[-1] and not deadline.is_over:
                    continue
                is_late = deadline.is_over or "Timeout" in type(error).__name__
                reason = TIMED_OUT if is_late else type(error).__name__
                raise ConnectionError(f"{endpoint.shown}: {reason}") from error
            try:
                if deadline.is_over:  # headers that it has cut read like whole ones
                    raise ConnectionError(f"{endpoint.shown}: {TIMED_OUT}")
                yield response
                return
            finally:
                response.close()
        finally:
            pool.close()


def _connection_pool(
    endpoint: Endpoint, address: str, read_seconds: float, deadline: Deadline
) -> urllib3.HTTPConnectionPool:
    """Return a pool of one connection to a checked address of the endpoint's host."""
    timeout = urllib3.Timeout(connect=min(read_seconds, CONNECT_SECONDS), read=read_seconds)
    options: dict[str, Any] = {"timeout": timeout, "maxsize": 1, "retries": False, "deadline": deadline}
    pool: urllib3.HTTPConnectionPool
    if endpoint.scheme == "https":
        # The certificate is that of the name, not of the address.
        pool = urllib3.HTTPSConnectionPool(
            address, endpoint.port, server_hostname=endpoint.host, assert_hostname=endpoint.host, **options
        )
        pool.ConnectionCls = _WatchedTLS
    else:
        pool = urllib3.HTTPConnectionPool(address, endpoint.port, **options)
        pool.ConnectionCls = _Watched
    return pool


def _chunks(endpoint: Endpoint, response: urllib3.BaseHTTPResponse, deadline: Deadline) -> Iterator[bytes]:
    """Yield bytes as they arrive: a slow server must not hold a whole chunk back."""
    assert isinstance(response, urllib3.HTTPResponse)
    try:
        while chunk := response.read1(CHUNK_BYTES):
            yield chunk
    except urllib3.exceptions.HTTPError as error:
        if not deadline.is_over:
            raise DataError(f"{endpoint.shown}: the connection was cut") from error
    # A response that the deadline has cut may look complete.
    if deadline.is_over:
        raise DataError(f"{endpoint.shown} takes longer than {deadline.seconds:.0f} s")
