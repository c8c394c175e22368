"""Explain the faults of disks and of S3 that DVC prints or raises, with a remedy."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from oft.errors import UserError

_PATHS = r"(?:: '([^']*)'(?: -> '([^']*)')?)?"
_FULL = re.compile(rf"(?:No space left on device|Disk quota exceeded|database or disk is full){_PATHS}")
_FORBIDDEN = re.compile(rf"(?:\[Errno (?:1|13|30)\] [^:]*|readonly database){_PATHS}")
NUM_TRANSIENT = 2
"""The last of the meanings below are transient faults."""
_MEANINGS = (
    (
        r"Unable to locate credentials|Partial credentials|config profile .* could not be found"
        r"|Token has expired|ExpiredToken",
        "S3 has been given no credentials that hold: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or write them to ~/.aws/credentials (`aws configure`); never to .dvc/config",
    ),
    (
        r"NoSuchBucket|specified bucket does not exist|Bucket does not exist",
        "the remote's bucket does not exist: create it, or correct the address "
        "(`dvc remote list`, `dvc remote modify NAME url s3://BUCKET/PREFIX`) or AWS_ENDPOINT_URL",
    ),
    (
        r"AccessDenied|Access Denied|Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch",
        "the bucket refuses these credentials: check key, rights (list, get, put) and AWS_ENDPOINT_URL",
    ),
    (
        r"credentials encoded in URL",
        "AWS_ENDPOINT_URL must hold no user name and no password: take them out",
    ),
    (
        r"Could not connect to the endpoint|Invalid endpoint|Connect timeout|Cannot connect to host"
        r"|EndpointConnectionError",
        "the S3 server cannot be reached or breaks off: check the network and AWS_ENDPOINT_URL "
        "(http(s)://host:port), then run the same command again",
    ),
    (
        r"SlowDown|reduce your request rate|ServiceUnavailable|Service Unavailable|InternalError|Bad Gateway"
        r"|Read timeout|ReadTimeout|Connection was closed|Connection reset|Server ?[Dd]isconnected"
        r"|Response payload is not completed|ClientPayloadError|Connection closed|\(50[0234]\)"
        r"|reached max retries",
        "the S3 server was busy or broke off, at each of several tries: run the same command again, later",
    ),
)


def is_transient(line: str) -> bool:
    """Return whether a line reports a transient fault of S3."""
    return any(re.search(pattern, line) for pattern, _ in _MEANINGS[-NUM_TRANSIENT:])


def explain_faults(lines: Collection[str]) -> list[str]:
    """Return the meaning, with a remedy, of each kind of fault in the lines of a DVC command."""
    found = [text for pattern, text in _MEANINGS if any(re.search(pattern, line) for line in lines)]
    for pattern, describe in ((_FORBIDDEN, _describe_forbidden), (_FULL, _describe_full_disk)):
        matches = [match for line in lines if (match := pattern.search(line))]
        if matches:
            named = next((match for match in matches if match[1]), None)
            found.insert(0, describe(named and (named[2] or named[1])))
    return found


@contextmanager
def explain_disk_faults() -> Iterator[None]:
    """Turn an error of a full or read-only disk, DVC's databases included, into a `UserError`."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if not (meanings := explain_faults([str(error)])):
            raise
        raise UserError("\n".join(meanings)) from error


def _describe_forbidden(path: str | None) -> str:
    place = next((place for place in Path(path).absolute().parents if place.exists()), None) if path else None
    who = f"; its folder belongs to user {place.stat().st_uid}, you are {os.getuid()}" if place else ""
    return (
        f"{path or 'a file of DVC'} may not be read or written (read-only, or somebody else's{who}). Give "
        "yourself the right, or, if it is in DVC's cache, give this clone one of its own (`dvc cache dir "
        "--local /your/disk`): `make pull` fetches what a remote has, the rest is made again. Then run again"
    )


def _describe_full_disk(path: str | None) -> str:
    if path is None:
        where = "a disk is full"
    else:
        disk = next(place for place in Path(path).absolute().parents if os.path.ismount(place))
        where = (
            f"the disk at {disk} is full ({shutil.disk_usage(disk).free / 1e6:.1f} MB free): {path} "
            "cannot be written"
        )
    return (
        f"{where}; what was finished is kept. Make room (`dvc gc --workspace` drops results that the "
        "workspace does not use) or move DVC's cache (`dvc cache dir --local /larger/disk`), then run again"
    )
