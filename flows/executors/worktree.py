"""A worktree of a node: a clone in which one stage at a time runs, checked out at a revision."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from flows.executors.snapshot import SENT_FILES
from flows.git import git, remove_stale_locks
from oft.errors import UserError

RWLOCK = ".dvc/tmp/rwlock"
"""DVC's list of files in use."""


def prepare_worktree(worktree: Path, revision: str, bundle: Path, files: Mapping[str, str]) -> None:
    """Check out ``revision`` in ``worktree`` and write ``files`` over it; DVC's outs stay.

    Args:
        worktree: its folder; empty, or in whatever state an earlier stage left it.
        revision: the commit.
        bundle: holds the commit with its history.
        files: text of each file of ``SENT_FILES``; one that is not given is removed.

    Raises:
        UserError: git failed; the message has its words.
    """
    try:
        _check_out(worktree, revision, bundle)
    except UserError:
        for entry in worktree.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        _check_out(worktree, revision, bundle)
    for name in SENT_FILES:
        if name in files:
            (worktree / name).write_text(files[name], encoding="utf-8")
        else:
            (worktree / name).unlink(missing_ok=True)


def _check_out(worktree: Path, revision: str, bundle: Path) -> None:
    # A killed process leaves its locks; the worktree is ours alone, so nobody holds them.
    remove_stale_locks(worktree)
    (worktree / RWLOCK).unlink(missing_ok=True)
    if not (worktree / ".git").is_dir():
        git("init", "--quiet", root=worktree)
    if not _has(worktree, revision):
        # A ref of its own keeps git from ever collecting it.
        git("fetch", "--quiet", "--no-tags", str(bundle), f"+HEAD:refs/revisions/{revision}", root=worktree)
    git("checkout", "--quiet", "--force", "--detach", revision, root=worktree)
    git("clean", "--quiet", "-fd", root=worktree)


def _has(worktree: Path, revision: str) -> bool:
    try:
        git("cat-file", "-e", f"{revision}^{{commit}}", root=worktree)
    except UserError:
        return False
    return True
