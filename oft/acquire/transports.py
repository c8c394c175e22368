"""A file at an address, from a byte on: http(s), file, S3, and the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from oft.errors import DataError
from oft.storage import CHUNK_BYTES, ByteStream, is_remote, open_remote

if TYPE_CHECKING:
    from requests import Response, Session

TIMEOUT_SECONDS = (10.0, 60.0)  # to connect, between two pieces
MAX_REDIRECTS = 10
MAX_WAIT_SECONDS = 600.0
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_HUB = re.compile(r"hf://datasets/(?P<repo_id>[^/@]+/[^/@]+)@(?P<revision>[^/]+)/(?P<filename>.+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BusyError(ConnectionError):
    """A server asks to come back later: ``wait_seconds``, if it says when."""

    def __init__(self, message: str, wait_seconds: float | None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


def open_address(
    address: str, start_bytes: int = 0, version: str | None = None
) -> AbstractContextManager[ByteStream]:
    """Return the bytes of the file at an address from ``start_bytes``, or from 0 where the server cannot tell
    that the file is still that ``version``, or cannot begin there.

    Raises (when entered):
        DataError: the server refuses for good.
        ConnectionError: it cannot be reached, is busy or cut the connection; to try again may help.
    """
    if is_remote(address):
        return open_remote(address, start_bytes, version)
    if address.startswith("file://"):
        return _open_file(Path(unquote(urlsplit(address).path)), start_bytes, version)
    if hub := _HUB.fullmatch(address):
        return _open_hub(hub["repo_id"], hub["revision"], hub["filename"], start_bytes, version)
    return open_http(address, start_bytes, version)


def browsable(address: str) -> str:
    """Return the address as a person can open it."""
    if hub := _HUB.fullmatch(address):
        return f"https://huggingface.co/datasets/{hub['repo_id']}/resolve/{hub['revision']}/{hub['filename']}"
    return address


@contextmanager
def open_http(
    address: str, start_bytes: int, version: str | None, headers: dict[str, str] | None = None
) -> Iterator[ByteStream]:
    """`open_address` over http(s). Addresses redirected to are never shown: they may hold signatures."""
    import requests
    import urllib3

    with requests.Session() as session:
        session.max_redirects = MAX_REDIRECTS
        session.headers.update({"Accept-Encoding": "identity", **(headers or {})})
        try:
            with _request_rest(session, address, start_bytes, version) as response:
                begun = start_bytes if response.status_code == 206 else 0
                chunks = response.raw.stream(CHUNK_BYTES, decode_content=False)
                yield ByteStream(begun, _total_bytes(response), _version(response), chunks, _sha256(response))
        except requests.TooManyRedirects as error:
            raise DataError(f"{address} leads in a circle: more than {MAX_REDIRECTS} redirections") from error
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
            raise DataError(f"{address} leads to an address that is not http or https") from error
        except requests.exceptions.SSLError as error:
            raise DataError(f"{address}: the server's certificate is not trusted") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise ConnectionError(f"{address}: {_describe(error)}") from error


def _request_rest(session: Session, address: str, start_bytes: int, version: str | None) -> Response:
    """Return the rest of the file (206) if it is surely the same file, else all of it (200)."""
    if start_bytes and version:
        conditions = {"Range": f"bytes={start_bytes}-", "If-Range": version}
        response = session.get(address, headers=conditions, stream=True, timeout=TIMEOUT_SECONDS)
        if response.status_code == 206:
            spans = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if spans and int(spans[1]) == start_bytes and _version(response) in (version, None):
                return response
        elif response.status_code != 416:
            return _check_status(address, response)
        response.close()
    return _check_status(address, session.get(address, stream=True, timeout=TIMEOUT_SECONDS))


def _check_status(address: str, response: Response) -> Response:
    status = f"{response.status_code} {response.reason}".strip()
    if response.status_code == 200:
        return response
    response.close()
    if response.status_code in _BUSY:
        raise BusyError(f"{address}: {status}", _wait_seconds(response))
    raise DataError(f"{address}: the server refuses it ({status})")


def _wait_seconds(response: Response) -> float | None:
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    if "Retry-After" not in response.headers:
        return None
    try:
        return min(Retry().parse_retry_after(response.headers["Retry-After"]), MAX_WAIT_SECONDS)
    except InvalidHeader:
        return None


def _total_bytes(response: Response) -> int | None:
    spans = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code == 206 and spans:
        return int(spans[3]) if spans[3] != "*" else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _version(response: Response) -> str | None:
    """Return what names the state of the file for If-Range: a strong ETag, else the date of its change."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _sha256(response: Response) -> str | None:
    """Return the SHA-256 that the hub states when it redirects to where a large file lies."""
    for answer in (*response.history, response):
        stated = answer.headers.get("X-Linked-Etag", "").strip('"')
        if _SHA256.fullmatch(stated):
            return stated
    return None


def _describe(error: Exception) -> str:
    """Return what happened without the address, which an error's own text has with any signature in it."""
    name = type(error).__name__
    if "Timeout" in name:
        return "no answer in time"
    return {"ProxyError": "the proxy cannot be used", "ConnectionError": "no connection"}.get(
        name, "the connection was cut"
    )


@contextmanager
def _open_file(path: Path, start_bytes: int, version: str | None) -> Iterator[ByteStream]:
    try:
        with path.open("rb") as stream:
            state = path.stat()
            current = f"{state.st_size}-{state.st_mtime_ns}"
            begun = start_bytes if version == current else 0
            stream.seek(begun)
            yield ByteStream(begun, state.st_size, current, iter(lambda: stream.read(CHUNK_BYTES), b""))
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def _open_hub(
    repo_id: str, revision: str, filename: str, start_bytes: int, version: str | None
) -> Iterator[ByteStream]:
    """A file of a data set on the hub: from the hub's cache on this machine, else over https."""
    from huggingface_hub import constants, get_token, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(repo_id, filename, revision=revision, repo_type="dataset")
    if isinstance(cached, str):
        source = _open_file(Path(cached), start_bytes, version)
    elif constants.HF_HUB_OFFLINE:
        raise DataError(
            f"{filename} of the hub's data set {repo_id}@{revision} is not on this machine and "
            "HF_HUB_OFFLINE is set"
        )
    else:
        address = hf_hub_url(repo_id, filename, repo_type="dataset", revision=revision)
        token = get_token()
        headers = {"Authorization": f"Bearer {token}"} if token else None
        source = open_http(address, start_bytes, version, headers)
    with source as stream:
        yield stream
