"""Http to addresses that a request named: connected to an address that was checked, no proxy, bounded in size
and time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from flows.trainings.addresses import Endpoint, parse_endpoint, resolve
from flows.trainings.site import Site
from oft.errors import DataError
from oft.storage import CHUNK_BYTES, atomic_file, full_disk_named

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)


def download(url: str, target: Path, site: Site, *, max_bytes: int, max_seconds: float) -> None:
    """Bring the file at an address to ``target``, whole or not at all; every redirection is checked anew.

    Raises:
        DataError: an address is not allowed, the server refuses or breaks off, or the file is larger or takes
            longer than it may. The message has no query of an address.
    """
    deadline = time.monotonic() + max_seconds
    with (
        full_disk_named(target),
        _following(url, site) as (endpoint, response),
        atomic_file(target) as partial,
        partial.open("wb") as sink,
    ):
        received = 0
        for chunk in _chunks(endpoint, response):
            received += len(chunk)
            if received > max_bytes:
                raise DataError(f"{endpoint.shown} is larger than {max_bytes / 1e6:.0f} MB")
            if time.monotonic() > deadline:
                raise DataError(f"{endpoint.shown} takes longer than {max_seconds:.0f} s")
            sink.write(chunk)
        stated = response.headers.get("Content-Length", "")
        if stated.isdecimal() and received != int(stated):
            raise DataError(f"{endpoint.shown} broke off after {received} of {stated} bytes")


def post(url: str, body: bytes, headers: Mapping[str, str], site: Site, *, seconds: float) -> int:
    """Return the status that a server answers a POST with; a redirection is not followed.

    Raises:
        DataError: the address is not allowed.
        ConnectionError: the server cannot be reached or does not answer in time.
    """
    endpoint = parse_endpoint(url, site.hosts)
    with _open(endpoint, "POST", body, headers, seconds) as response:
        return int(response.status)


@contextmanager
def _following(url: str, site: Site) -> Iterator[tuple[Endpoint, BaseHTTPResponse]]:
    """Yield what answers 200 at an address, or where that leads to."""
    for _ in range(MAX_REDIRECTS + 1):
        endpoint = parse_endpoint(url, site.hosts)
        try:
            with _open(endpoint, "GET", None, {"Accept-Encoding": "identity"}, READ_SECONDS) as response:
                location = response.headers.get("Location")
                if response.status == 200:
                    yield endpoint, response
                    return
                if response.status not in _REDIRECTS or not location:
                    raise DataError(f"{endpoint.shown} answers with status {response.status}")
        except ConnectionError as error:
            raise DataError(str(error)) from error
        url = urljoin(url, location)
    raise DataError(f"{endpoint.shown} leads on more than {MAX_REDIRECTS} times")


@contextmanager
def _open(
    endpoint: Endpoint, method: str, body: bytes | None, headers: Mapping[str, str], seconds: float
) -> Iterator[BaseHTTPResponse]:
    import urllib3

    timeout = urllib3.Timeout(connect=min(seconds, CONNECT_SECONDS), read=seconds)
    options: dict[str, Any] = {"timeout": timeout, "maxsize": 1, "retries": False}
    address = resolve(endpoint)[0]
    pool: urllib3.HTTPConnectionPool
    # The certificate is that of the name; the connection goes to the address that was checked.
    if endpoint.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            address, endpoint.port, server_hostname=endpoint.host, assert_hostname=endpoint.host, **options
        )
    else:
        pool = urllib3.HTTPConnectionPool(address, endpoint.port, **options)
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
        try:
            yield response
        finally:
            response.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, ConnectionError):
            raise
        reason = "no answer in time" if "Timeout" in type(error).__name__ else type(error).__name__
        raise ConnectionError(f"{endpoint.shown}: {reason}") from error
    finally:
        pool.close()


def _chunks(endpoint: Endpoint, response: BaseHTTPResponse) -> Iterator[bytes]:
    """Yield what has come as it comes: a server that dribbles must not hold a whole chunk back."""
    import urllib3

    assert isinstance(response, urllib3.HTTPResponse)
    try:
        while chunk := response.read1(CHUNK_BYTES):
            yield chunk
    except urllib3.exceptions.HTTPError as error:
        raise DataError(f"{endpoint.shown}: the connection was cut") from error
