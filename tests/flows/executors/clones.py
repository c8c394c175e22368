"""Small git and DVC repositories for the tests of executors."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """What a git command prints."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def make_clone(folder: Path, remote: str, **files: str) -> Path:
    """Return a new repository with these files (``_`` for the point), committed, and this DVC remote."""
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    config = "[core]\nanalytics = false\n"
    if remote:
        config += f"remote = team\n['remote \"team\"']\nurl = {remote}\n"
    (folder / ".dvc" / "config").write_text(config)
    (folder / ".gitignore").write_text("/a\n/b\n/c\n/d\n/tree\n/log\n")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder
