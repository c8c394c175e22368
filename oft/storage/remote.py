"""Objects on S3.

Credentials, region and endpoint come from boto3's own chain (AWS_PROFILE, AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL, ...), never from an address.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from oft.errors import DataError
from oft.storage.files import CHUNK_BYTES, atomic_file, translate_enospc

REMOTE_SCHEME = "s3://"
_SHA256 = "sha256"


@dataclass(frozen=True)
class ByteStream:
    """What a server or a bucket sends of a file: its bytes from ``start_bytes`` to the end.

    ``total_bytes`` is the length of the whole file, ``version`` names its state (bytes of one version fit
    together), ``sha256`` is its checksum, each where the server states it. Reading ``chunks`` raises
    `ConnectionError` where the connection ends early.
    """

    start_bytes: int
    total_bytes: int | None
    version: str | None
    chunks: Iterator[bytes]
    sha256: str | None = None


@dataclass(frozen=True)
class ObjectState:
    """What a bucket says of an object: its size, and the SHA-256 that `send_remote` stated with it."""

    size_bytes: int
    sha256: str | None


def is_remote(path: str | Path) -> bool:
    """Whether a path is the address of an object or of a prefix on S3: ``s3://bucket/key``."""
    return str(path).startswith(REMOTE_SCHEME)


def fetch_remote(url: str, target: Path) -> None:
    """Copy a whole object ``s3://bucket/key`` to the file ``target``, whole or not at all.

    Raises:
        DataError: the object is missing, access to it is denied, the server cannot be reached, or the disk is
            full.
    """
    bucket, key = _split(url)
    with translate_enospc(target), atomic_file(target) as partial, _remote_faults(url):
        _client().download_file(bucket, key, str(partial))


def read_remote(url: str) -> bytes:
    """Return the bytes of a whole object ``s3://bucket/key``.

    Raises:
        DataError: the object is missing, access to it is denied, or the server cannot be reached.
    """
    bucket, key = _split(url)
    content = io.BytesIO()
    with _remote_faults(url):
        _client().download_fileobj(bucket, key, content)
    return content.getvalue()


def list_remote(url: str) -> dict[str, int]:
    """Return the size, bytes, of each object below ``s3://bucket/prefix`` by its name there, sorted.

    Raises:
        DataError: the bucket is missing, access to it is denied, or the server cannot be reached.
    """
    return {name: entry["Size"] for name, entry in _list_entries(url)}


def list_versions(url: str) -> dict[str, tuple[int, str]]:
    """Return the size, bytes, and the ETag of each object below ``s3://bucket/prefix`` by its name, sorted.

    Raises:
        DataError: the bucket is missing, access to it is denied, or the server cannot be reached.
    """
    return {name: (entry["Size"], entry["ETag"].strip('"')) for name, entry in _list_entries(url)}


def _list_entries(url: str) -> list[tuple[str, Any]]:
    bucket, key = _split(url)
    prefix = f"{key.rstrip('/')}/" if key else ""
    entries: list[tuple[str, Any]] = []
    with _remote_faults(url):
        for page in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                name = entry["Key"].removeprefix(prefix)
                if name and not name.endswith("/"):  # some tools mark folders by empty objects
                    entries.append((name, entry))
    return sorted(entries, key=lambda named: named[0])


@contextmanager
def open_remote(url: str, start_bytes: int = 0, version: str | None = None) -> Iterator[ByteStream]:
    """Yield the bytes of an object ``s3://bucket/key`` from ``start_bytes``, or from 0 where the object is no
    longer that ``version``, or no ``version`` is given.

    Raises:
        DataError: the object is missing or access to it is denied.
        ConnectionError: the server cannot be reached or cut the connection; to try again may help.
    """
    from botocore.exceptions import ClientError

    bucket, key = _split(url)
    with _remote_faults(url, passing=ConnectionError):
        if start_bytes and version:
            try:
                answer = _client().get_object(
                    Bucket=bucket, Key=key, Range=f"bytes={start_bytes}-", IfMatch=version
                )
            except ClientError as error:
                if _status(error) not in (412, 416):  # changed since, shorter than that
                    raise
                start_bytes, answer = 0, _client().get_object(Bucket=bucket, Key=key)
        else:
            start_bytes, answer = 0, _client().get_object(Bucket=bucket, Key=key)
        with closing(answer["Body"]) as body:
            total_bytes = start_bytes + answer["ContentLength"]
            yield ByteStream(start_bytes, total_bytes, answer["ETag"], body.iter_chunks(CHUNK_BYTES))


def stat_remote(url: str) -> ObjectState | None:
    """Return what the bucket says of an object ``s3://bucket/key``, None where there is none.

    Raises:
        DataError: access is denied, or the server cannot be reached.
    """
    from botocore.exceptions import ClientError

    bucket, key = _split(url)
    with _remote_faults(url):
        try:
            answer = _client().head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if _status(error) != 404:
                raise
            return None
    return ObjectState(answer["ContentLength"], answer["Metadata"].get(_SHA256))


def send_remote(
    source: Path, url: str, *, sha256: str, content_type: str, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Copy a file to the object ``s3://bucket/key``, whole or not at all.

    The server compares what it gets with a checksum of each request. ``sha256``, the file's, is stated with
    the object; ``advance`` is given the bytes that have gone, in any thread.

    Raises:
        DataError: the bucket is missing, access to it is denied, or the server cannot be reached.
    """
    bucket, key = _split(url)
    stated = {"ContentType": content_type, "Metadata": {_SHA256: sha256}, "ChecksumAlgorithm": "SHA256"}
    with source.open("rb") as stream, _remote_faults(url, verb="written"):
        _client().upload_fileobj(stream, bucket, key, ExtraArgs=stated, Callback=advance)


def _split(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix(REMOTE_SCHEME).partition("/")
    if not is_remote(url) or not bucket or "@" in bucket:
        # The address is not repeated: what stands before an @ is a secret.
        raise DataError("an address on S3 must be s3://bucket/key, without credentials; correct it")
    return bucket, key


def _client() -> Any:
    """Return boto3's client for the environment at hand, one a process: a fork must not share connections."""
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    return _cached_client(os.getpid(), tuple(settings))


@cache
def _cached_client(_process: int, _settings: tuple[tuple[str, str], ...]) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard"})
    try:
        return boto3.session.Session().client("s3", config=config)
    except ValueError:
        # The address is not repeated, nor the error that does: it may hold a password.
        raise DataError("AWS_ENDPOINT_URL must be the address of an S3 server: http(s)://host:port") from None


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


@contextmanager
def _remote_faults(url: str, passing: type[Exception] = DataError, verb: str = "read") -> Iterator[None]:
    """Turn boto3's faults into a `DataError` with a remedy, and those that may pass by themselves into
    ``passing``; ``verb`` says what could not be done.
    """
    from boto3.exceptions import RetriesExceededError
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise _error_of(url, error, passing, verb) from error
    except (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
        RetriesExceededError,
    ) as error:
        raise passing(
            f"{url} cannot be {verb}: {type(error).__name__}; check the network and AWS_ENDPOINT_URL, then "
            "run again"
        ) from error
    except exceptions.BotoCoreError as error:
        raise DataError(
            f"{url} cannot be {verb}: {error}; correct the address, or give credentials the way AWS's tools "
            "find them (AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws), never in params"
        ) from error


def _error_of(url: str, error: Any, passing: type[Exception], verb: str) -> Exception:
    """Return what a server's refusal means."""
    status, code = _status(error), error.response.get("Error", {}).get("Code", "unknown")
    if status == 404:
        return DataError(
            f"{url}: there is no such object or bucket; correct the address, or AWS_ENDPOINT_URL"
        )
    if status == 429 or status >= 500:
        return passing(f"{url} cannot be {verb}: the server is busy ({code}); run again later")
    return DataError(
        f"{url} cannot be {verb}: it is refused ({code}); check the credentials (AWS_PROFILE or "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and the rights they give"
    )
