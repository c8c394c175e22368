"""A clone of the repository's HEAD for one run, with the repository's DVC cache; gone when the run is."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from flows.clones import check_out, fetch, resolve_revision, share_cache
from flows.reaper import POLL_SECONDS
from oft.errors import UserError
from oft.storage import file_lock, try_lock

KILL_SECONDS = 30.0


class Workspace(NamedTuple):
    """A run's own folder: the clone, its revision, and room for files beside it."""

    root: Path
    revision: str
    files: Path


@contextmanager
def open_workspace(repository: Path, folder: Path, name: str) -> Iterator[Workspace]:
    """Yield a new workspace ``folder/name``, removed at the end however that be.

    The next run removes the workspace of a killed process, and kills the processes still at work in it.
    A lock tells whether a workspace is alive.

    Raises:
        UserError: ``repository`` is no git checkout with a DVC repository, or what a killed run left at work
            cannot be ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_deserted(folder)
    place = folder / name
    with _locked(place.with_suffix(".lock")):
        _remove(place)
        try:
            files = place / "files"
            files.mkdir(parents=True)
            root = place / "clone"
            fetch(str(repository), root)
            revision = resolve_revision(root, "HEAD")
            check_out(root, revision)
            share_cache(root, repository, place / "cache")
            yield Workspace(root, revision, files)
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, and remove its file at the end."""
    with file_lock(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _remove_deserted(folder: Path) -> None:
    for path in folder.glob("*.lock"):
        if (lock := try_lock(path)) is not None:
            with lock:
                _remove(path.with_suffix(""))
                path.unlink(missing_ok=True)


def _remove(place: Path) -> None:
    """Remove a workspace and whatever works in it: stages lead groups of their own and outlive their flow.

    Raises:
        UserError: a process does not even end when it is killed.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while working := _find_working(place.resolve()):
        for pid in working:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise UserError(
                f"process {working[0]} works in {place}, which a killed run left, and cannot be killed; see "
                "what it waits for (a disk, a GPU) and send the request again"
            )
        time.sleep(POLL_SECONDS)
    shutil.rmtree(place, ignore_errors=True)


def _find_working(place: Path) -> list[int]:
    """Return the processes of this user, but for this one, whose current folder is ``place`` or below it."""
    return [
        process.pid
        for process in psutil.process_iter(["cwd", "uids"])
        if getattr(process.info["uids"], "effective", None) == os.geteuid()
        and process.pid != os.getpid()
        and Path(process.info["cwd"] or "/").is_relative_to(place)
    ]
