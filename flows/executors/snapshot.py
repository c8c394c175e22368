"""A snapshot of this clone for a node: its revision as a git bundle, without uncommitted changes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from flows.git import git, git_bytes
from oft.errors import UserError

SENT_FILES = ("params.yaml", "dvc.lock")
"""The files that are sent as they are, committed or not."""


class Snapshot(NamedTuple):
    """A revision to run on other machines.

    Attributes:
        revision: the commit.
        project: the first commit of its history, the same in every clone of a project.
        bundle: the commit with its history, as ``git fetch`` reads it.
    """

    revision: str
    project: str
    bundle: bytes


def read_snapshot(root: Path) -> Snapshot:
    """Return a snapshot of the commit checked out in the clone ``root``.

    Raises:
        UserError: ``root`` is no git clone's root, has no commit, or is a shallow clone.
    """
    top = git("rev-parse", "--show-toplevel", root=root)
    if Path(top).resolve() != root.resolve():
        raise UserError(
            f"{root} must be the root of its git clone, so that nodes can clone it; that is {top}"
        )
    if git("rev-parse", "--is-shallow-repository", root=root) == "true":
        raise UserError(f"{root} is a shallow clone, which cannot be cloned; run `git fetch --unshallow`")
    revision = git("rev-parse", "--verify", "HEAD", root=root)
    project = min(git("rev-list", "--max-parents=0", revision, root=root).split())
    return Snapshot(revision, project, git_bytes("bundle", "create", "--quiet", "-", "HEAD", root=root))


def require_committed(root: Path, deps: Iterable[Path]) -> None:
    """Check that all stage inputs are committed; params.yaml and dvc.lock need not be.

    Args:
        root: the clone.
        deps: the dependencies of its stages; only there do untracked files matter.

    Raises:
        UserError: code or configuration is changed, or a stage reads an untracked file.
    """
    status = git("status", "--porcelain", "--no-renames", "--untracked-files=all", "-z", root=root)
    folders = {dep.resolve() for dep in deps}
    found = []
    for entry in filter(None, status.split("\0")):
        state, path = entry[:2], entry[3:]
        if state == "??":
            file = (root / path).resolve()
            if not folders.intersection((file, *file.parents)):
                continue
        elif path in SENT_FILES:
            continue
        found.append(path)
    if found:
        shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise UserError(
            f"nodes run the committed code, and these are not committed: {shown}; "
            f"commit them (only {' and '.join(SENT_FILES)} are sent as they are), or run with "
            "OFT_EXECUTOR=local"
        )
