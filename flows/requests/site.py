"""The folders, buckets and hosts that this machine's operator allows to requests, from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from flows.server import CLONE

ROOTS = "OFT_TRAININGS_ROOTS"
HOSTS = "OFT_TRAININGS_HOSTS"
WEBHOOK_SECRET = "OFT_WEBHOOK_SECRET"


class Site(NamedTuple):
    """The places that a request may reach.

    Attributes:
        repository: the checkout whose HEAD is trained with; its DVC cache is shared by all requests.
        roots: folders and ``s3://bucket/prefix`` addresses that pictures may come from and results go to.
        hosts: ``host`` or ``host:port`` of servers that may have private addresses and speak plain http.
        has_webhook_secret: whether webhooks can be signed.
    """

    repository: Path
    roots: tuple[str, ...]
    hosts: frozenset[str] = frozenset()
    has_webhook_secret: bool = False

    @property
    def scratch(self) -> Path:
        """Where the clones of running requests lie; git and DVC ignore it."""
        return self.repository / ".trainings"


def read_site() -> Site:
    """Return the places that the environment allows, with absolute paths.

    OFT_CLONE is the checkout (the current folder if unset), OFT_TRAININGS_ROOTS folders and S3 addresses
    separated by spaces (``trainings`` in the checkout if unset), OFT_TRAININGS_HOSTS hosts by spaces (none).
    """
    repository = Path(os.environ.get(CLONE) or Path.cwd()).resolve()
    roots = os.environ.get(ROOTS, "").split() or ["trainings"]
    return Site(
        repository,
        tuple(root if root.startswith("s3://") else str((repository / root).resolve()) for root in roots),
        frozenset(os.environ.get(HOSTS, "").lower().split()),
        bool(os.environ.get(WEBHOOK_SECRET)),
    )
