"""A clone of the repository's HEAD for one run, with the repository's DVC cache; gone when the run is."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flows.graph import open_repository
from oft.errors import UserError


class Workspace(NamedTuple):
    """A run's own folder: the clone, its revision, and room for files beside it."""

    root: Path
    revision: str
    files: Path


@contextmanager
def open_workspace(repository: Path, folder: Path, name: str) -> Iterator[Workspace]:
    """Yield a new workspace ``folder/name``, removed at the end however that be.

    What a killed process left behind is removed by the next run: a lock tells whose process is still alive.

    Raises:
        UserError: ``repository`` is no git checkout with a DVC repository.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_deserted(folder)
    place = folder / name
    with _locked(place.with_suffix(".lock")):
        shutil.rmtree(place, ignore_errors=True)
        try:
            files = place / "files"
            files.mkdir(parents=True)
            root = place / "clone"
            revision = _git(repository, "rev-parse", "HEAD")
            with open_repository(repository) as repo:
                cache = repo.cache.local_cache_dir
            _git(repository, "clone", "--quiet", "--shared", "--no-checkout", str(repository), str(root))
            _git(root, "checkout", "--quiet", "--detach", revision)
            with open_repository(root) as repo, repo.config.edit("local") as config:
                config["cache"]["dir"] = cache
            yield Workspace(root, revision, files)
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process; children do not inherit it."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _remove_deserted(folder: Path) -> None:
    for path in folder.glob("*.lock"):
        with path.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            path.unlink(missing_ok=True)


def _git(root: Path, *arguments: str) -> str:
    """Return what a git command prints, run without asking anything.

    Raises:
        UserError: it failed; the message has its last line.
    """
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        ["git", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"git {arguments[0]} failed in {root}: {said}; the repository must be a git checkout")
    return done.stdout.strip()
