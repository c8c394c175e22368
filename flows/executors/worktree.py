"""A slot of a node: a clone in which one stage at a time runs, made to stand at a revision."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from flows.executors.snapshot import SENT
from flows.git import git, remove_stale_locks
from oft.errors import UserError

RWLOCK = ".dvc/tmp/rwlock"
"""DVC's list of files in use."""


def prepare_slot(slot: Path, revision: str, bundle: Path, files: Mapping[str, str]) -> None:
    """Make ``slot`` a clone at ``revision`` with ``files`` written over it; what DVC has put there stays.

    Args:
        slot: its folder; empty, or as an earlier stage has left it, in whatever state.
        revision: the commit.
        bundle: holds the commit with its history.
        files: text of each file that is sent as it is; one of those that is not given is removed.

    Raises:
        UserError: git cannot do it; the message has its words.
    """
    try:
        _check_out(slot, revision, bundle)
    except UserError:
        for entry in slot.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        _check_out(slot, revision, bundle)
    for name in SENT:
        if name in files:
            (slot / name).write_text(files[name], encoding="utf-8")
        else:
            (slot / name).unlink(missing_ok=True)


def _check_out(slot: Path, revision: str, bundle: Path) -> None:
    # Left behind where a process was killed; the slot is ours alone, so nobody holds them.
    remove_stale_locks(slot)
    (slot / RWLOCK).unlink(missing_ok=True)
    if not (slot / ".git").is_dir():
        git("init", "--quiet", root=slot)
    if not _has(slot, revision):
        # A ref of its own keeps git from ever collecting it.
        git("fetch", "--quiet", "--no-tags", str(bundle), f"+HEAD:refs/revisions/{revision}", root=slot)
    git("checkout", "--quiet", "--force", "--detach", revision, root=slot)
    git("clean", "--quiet", "-fd", root=slot)


def _has(slot: Path, revision: str) -> bool:
    try:
        git("cat-file", "-e", f"{revision}^{{commit}}", root=slot)
    except UserError:
        return False
    return True
