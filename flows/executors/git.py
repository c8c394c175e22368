"""git, as the head and the nodes call it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from oft.errors import UserError


def run_git(folder: Path, *arguments: str) -> bytes:
    """Run ``git ARGUMENTS`` in ``folder``, without hooks, and return what it prints.

    Raises:
        UserError: it is not installed or fails; the message has its words.
    """
    command = ["git", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("git is not installed; nodes get the code through it") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise UserError(f"git {arguments[0]} failed in {folder}: {said}")
    return done.stdout
