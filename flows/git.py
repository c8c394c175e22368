"""Git commands as child processes, and the name that commits are made under."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from flows.redaction import hide_secrets
from oft.errors import UserError

NAME, EMAIL = "retrain", "retrain@localhost"


def git(*arguments: str, root: Path, stdin: str | None = None) -> str:
    """Return what ``git ARGUMENTS`` prints in ``root``, without the last line break; see `git_bytes`."""
    given = None if stdin is None else stdin.encode()
    return git_bytes(*arguments, root=root, stdin=given).decode(errors="surrogateescape").removesuffix("\n")


def git_bytes(*arguments: str, root: Path, stdin: bytes | None = None) -> bytes:
    """Return what ``git ARGUMENTS`` prints in ``root``; no hook runs.

    Raises:
        UserError: git is missing, or it failed; the message has its last words, without credentials.
    """
    try:
        finished = subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", *arguments],
            cwd=root,
            env=_environment(),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise UserError("git is not installed; install it, clones are made with it") from None
    if finished.returncode != 0:
        said = (finished.stderr.strip() or finished.stdout.strip()).decode(errors="replace")
        raise UserError(
            f"git {arguments[0]} failed in {root}: {hide_secrets(said) or '(it printed nothing)'}"
        )
    return finished.stdout


def remove_stale_locks(root: Path) -> None:
    """Remove the locks that a killed git has left in the clone ``root``, which is the caller's alone."""
    for lock in (root / ".git").rglob("*.lock"):
        lock.unlink(missing_ok=True)


def read_file(root: Path, revision: str, path: str) -> str | None:
    """Return the text of a file in a revision, None where the revision has none."""
    try:
        return git("show", f"{revision}:{path}", root=root) + "\n"
    except UserError:
        return None


def commit_tree(root: Path, message: str, parents: list[str]) -> str:
    """Return a new commit of the index; no branch moves."""
    options = [option for parent in parents for option in ("-p", parent)]
    return git("commit-tree", git("write-tree", root=root), *options, "-F", "-", root=root, stdin=message)


def _environment() -> dict[str, str]:
    """Return this process's environment, in which git prompts for nothing and has a name to commit under."""
    environment = {
        name: value
        for name, value in os.environ.items()
        # Set inside a hook, and they would lead every command to the repository the hook runs in.
        if name not in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX")
    }
    return {
        "GIT_AUTHOR_NAME": NAME,
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_COMMITTER_NAME": NAME,
        "GIT_COMMITTER_EMAIL": EMAIL,
        **environment,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
