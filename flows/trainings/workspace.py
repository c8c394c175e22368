"""A clone of the repository's HEAD for one run, with the repository's DVC cache; gone when the run is."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flows.clones import check_out, fetch, resolve_revision, share_cache


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
            fetch(str(repository), root)
            revision = resolve_revision(root, "HEAD")
            check_out(root, revision)
            share_cache(root, repository, place / "cache")
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
