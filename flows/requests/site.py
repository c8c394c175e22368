"""The folders, buckets and hosts that this machine's operator allows to requests, from the environment."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

from flows.server import CLONE
from oft.errors import ParamsError

ROOTS = "OFT_TRAININGS_ROOTS"
HOSTS = "OFT_TRAININGS_HOSTS"
HOURS = "OFT_TRAININGS_HOURS"
DEFAULT_HOURS = 24.0
WEBHOOK_SECRET = "OFT_WEBHOOK_SECRET"


class Site(NamedTuple):
    """The places that a request may reach.

    Attributes:
        repository: the checkout whose HEAD is trained with; its DVC cache is shared by all requests.
        roots: folders and ``s3://bucket/prefix`` addresses that pictures may come from and results go to.
        hosts: ``host`` or ``host:port`` of servers that may have private addresses and speak plain http.
        has_webhook_secret: whether webhooks can be signed.
        max_hours: how long the stages of a training may take.
    """

    repository: Path
    roots: tuple[str, ...]
    hosts: frozenset[str] = frozenset()
    has_webhook_secret: bool = False
    max_hours: float = DEFAULT_HOURS

    @property
    def scratch(self) -> Path:
        """Where the clones of running requests lie; git and DVC ignore it."""
        return self.repository / ".trainings"


def read_site() -> Site:
    """Return the places that the environment allows, with absolute paths.

    OFT_CLONE is the checkout (the current folder if unset), OFT_TRAININGS_ROOTS folders and S3 addresses
    separated by spaces (``trainings`` in the checkout if unset), OFT_TRAININGS_HOSTS hosts by spaces (none),
    OFT_TRAININGS_HOURS a number (24).

    Raises:
        ParamsError: the number is none, or not above 0.
    """
    repository = Path(os.environ.get(CLONE) or Path.cwd()).resolve()
    roots = os.environ.get(ROOTS, "").split() or ["trainings"]
    return Site(
        repository,
        tuple(root if root.startswith("s3://") else str((repository / root).resolve()) for root in roots),
        frozenset(os.environ.get(HOSTS, "").lower().split()),
        bool(os.environ.get(WEBHOOK_SECRET)),
        _read_hours(os.environ.get(HOURS) or str(DEFAULT_HOURS)),
    )


def _read_hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not (0 < hours < math.inf):
        raise ParamsError(f"{HOURS} must be a number of hours above 0, such as 24; it is {text!r}")
    return hours
