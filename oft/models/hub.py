"""Checkpoints of the Hugging Face hub, named by commit: a branch or tag could come to mean other weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from oft.errors import CheckpointError, first_line

HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")
HUB_FORM = "owner/name@<commit, 40 hexadecimal digits>"
UNPINNED = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w.-]+)(@.*)?")


def is_hub_id(text: str) -> bool:
    """Return whether a text names a repository of the hub and a commit of it."""
    return HUB_ID.fullmatch(text) is not None


def find_folder(name: str | Path, patterns: Sequence[str], what: str, instead: Sequence[str] = ()) -> Path:
    """Return a folder of the user's as it is, or that of the files of a repository on the hub.

    Args:
        name: the folder, or the repository with its commit.
        patterns: the files to fetch.
        what: the setting that names it, for messages.
        instead: what else the setting may be, for messages.

    Raises:
        CheckpointError: it is neither, or cannot be fetched.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if is_hub_id(str(name)):
        return download(str(name), patterns, what)
    others = "".join(f"{value}, " for value in instead)
    raise CheckpointError(
        f"{what} ({name}): no such folder; it must be {others}a folder that is here, or {HUB_FORM} on the "
        f"hub{_hint(name)}"
    )


def download(hub_id: str, patterns: Sequence[str], what: str) -> Path:
    """Return the folder of a repository's files, at its commit, from the hub or from its local cache.

    An interrupted download goes on where it stopped; a gated repository takes the token that
    `hf auth login` or HF_TOKEN gives.

    Args:
        patterns: the files to fetch.
        what: the setting that names the repository, for messages.

    Raises:
        CheckpointError: it cannot be reached, or there is no such repository or commit.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    match = HUB_ID.fullmatch(hub_id)
    assert match
    try:
        # Blobs have their SHA-256 for a name and are checked by size; what is cached is not fetched again.
        return Path(snapshot_download(match["repo"], revision=match["commit"], allow_patterns=list(patterns)))
    except (HfHubHTTPError, HFValidationError, OSError, RuntimeError) as fault:
        raise CheckpointError(
            f"{what} ({hub_id}): cannot be fetched ({first_line(fault)}); accept its licence on "
            f"https://huggingface.co/{match['repo']} if it has one and log in (`hf auth login`). Without a "
            f"network here run `hf download {match['repo']} --revision {match['commit']} --local-dir model` "
            f"on a machine with one, copy the folder here and set {what} in params.yaml to its path"
        ) from fault


def _hint(name: str | Path) -> str:
    match = UNPINNED.fullmatch(str(name))
    if not match:
        return ""
    return (
        ", by its commit, as branches and tags move: "
        f"https://huggingface.co/{match['repo']}/commits/main lists them"
    )
