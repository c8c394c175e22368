"""Webhooks after standardwebhooks.com: a signed POST, tried again with back-off, the same id every time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flows.requests.site import WEBHOOK_SECRET, Site
from flows.requests.web import post
from oft.errors import DataError, ParamsError

PREFIX = "whsec_"
MIN_SECRET_BYTES = 24
SECONDS = 10.0
BACKOFF_SECONDS = (1.0, 4.0, 15.0)
"""Waits between tries: four tries in all, a minute at most."""


class Event(NamedTuple):
    """A webhook's body and id; the id is equal in every attempt, so that a receiver can deduplicate."""

    id: str
    body: bytes


class Delivery(NamedTuple):
    """How a delivery ended, with the result of each attempt."""

    delivered: bool
    attempts: tuple[str, ...]


def make_event(run_id: str, status: str, message: str, result: Mapping[str, Any] | None) -> Event:
    """Return the event of a run that ended; equal values give equal bytes."""
    payload = {
        "type": f"training.{status}",
        "id": run_id,
        "status": status,
        "message": message,
        "result": result,
    }
    return Event(f"{run_id}.{status}", json.dumps(payload, sort_keys=True, ensure_ascii=False).encode())


def read_key(secret: str) -> bytes:
    """Return the key in a secret ``whsec_<base64>``.

    Raises:
        ParamsError: it is no such secret, or shorter than 24 bytes; the message does not repeat it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < MIN_SECRET_BYTES:
        raise ParamsError(
            f"{WEBHOOK_SECRET} must be {PREFIX} and base64 of {MIN_SECRET_BYTES} bytes or more, for example "
            f"from `echo {PREFIX}$(openssl rand -base64 32)`"
        )
    return key


def sign(key: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """Return the header webhook-signature: version 1 is HMAC-SHA256 over id, timestamp and body."""
    signed = b".".join((event_id.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def deliver(
    event: Event,
    url: str,
    key: bytes,
    site: Site,
    *,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Delivery:
    """Post an event until a receiver answers with a status of 2xx, or all tries are used up; raises nothing.

    A receiver that answers 410 (gone) wants no more, and an address that is not allowed will not become so.
    """
    attempts: list[str] = []
    for wait_seconds in (*BACKOFF_SECONDS, None):
        timestamp = int(now())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(key, event.id, timestamp, event.body),
        }
        try:
            status = post(url, event.body, headers, site, seconds=SECONDS)
            attempts.append(f"status {status}")
            if 200 <= status < 300:
                return Delivery(True, tuple(attempts))
            if status == 410:
                break
        except ConnectionError as error:
            # Of the address no more than the host: its path may be the receiver's own secret.
            attempts.append(str(error).rpartition(": ")[2])
        except DataError as error:
            attempts.append(str(error))
            break
        if wait_seconds is not None:
            sleep(wait_seconds)
    return Delivery(False, tuple(attempts))
