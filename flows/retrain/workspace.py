"""The clones of retraining: one retraining at a time, with the data sources of the user's workspace."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from flows.clones import check_out, share_cache
from flows.locking import announce_wait, exclusive_lock
from flows.reproduce.workspace import backup_lockfile, repair_dvc_state
from flows.retrain.settings import RetrainSettings
from flows.retrain.sources import DOWNLOAD, GENERATED_SOURCES, watched_sources
from oft.errors import UserError
from oft.params import Params
from oft.storage import is_remote

LOCK_FILE = "lock"
WAIT_SECONDS = 0.5


@contextmanager
def retrain_lock(folder: Path, log: Callable[[str], None], wait: bool = True) -> Iterator[None]:
    """Lock a retraining's folder.

    Wait for the processes of a killed retraining as well: they still write there.

    Raises:
        Busy: another process works there and ``wait`` is false.
    """
    with exclusive_lock(folder / LOCK_FILE, log, wait):
        told = None
        while (process := _left_behind(folder)) is not None:
            if process != told:
                announce_wait(process, folder, log, wait)
            told = process
            time.sleep(WAIT_SECONDS)
        yield


def open_clone(settings: RetrainSettings, target: Path, commit: str) -> None:
    """Check ``commit`` out at ``target`` and give it the source's DVC cache and remotes."""
    check_out(target, commit)
    share_cache(target, settings.source_root, settings.folder / "cache")


def repair_clone(clone: Path, log: Callable[[str], None]) -> None:
    """Repair the DVC state that a killed retraining left half-written in a clone just checked out."""
    backup_lockfile(clone)  # git wrote it whole; beside the backup of another revision it could look torn
    for done in repair_dvc_state(clone):
        log(done)


def link_sources(params: Params, settings: RetrainSettings, clone: Path) -> None:
    """Link the params' relative data sources into the clone, as they are in the source's workspace.

    Raises:
        UserError: one leads out of the workspace, where a clone elsewhere cannot follow.
    """
    if settings.source_root is None:
        return
    for source in watched_sources(params).values():
        path = Path(source)
        if source in (DOWNLOAD, *GENERATED_SOURCES) or is_remote(source) or path.is_absolute():
            continue
        if ".." in path.parts:
            raise UserError(
                f"source {source!r} leads out of the repository, and retraining works in a clone elsewhere; "
                "write an absolute path in params.yaml"
            )
        link, original = clone / path, settings.source_root / path
        if link.is_symlink():
            link.unlink()
        if original.exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(original)
            _exclude(clone, path)


def _left_behind(folder: Path) -> str | None:
    """Return a process that works in a clone without a terminal: a command whose retraining was killed.

    A person's shell, which may stand there too, has a terminal. The warm server (stages/launch/warm) writes
    nothing and stays for a while after every run; it ends a stage whose client has died.
    """
    for process in psutil.process_iter(["cwd", "cmdline", "terminal"]):
        works_here = Path(process.info["cwd"] or "/").is_relative_to(folder.resolve())
        warm = any(part.endswith("stages/launch/warm/__main__.py") for part in process.info["cmdline"] or ())
        if works_here and process.info["terminal"] is None and not warm and process.pid != os.getpid():
            return str(process.pid)
    return None


def _exclude(clone: Path, path: Path) -> None:
    """Keep a link out of the clone's commits."""
    file = clone / ".git" / "info" / "exclude"
    file.parent.mkdir(exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    if (line := f"/{path.as_posix()}") not in lines:
        file.write_text("\n".join([*lines, line, ""]), encoding="utf-8")
