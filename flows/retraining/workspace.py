"""Clones that retraining works in, with the shared DVC cache; a person's workspace is never touched."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from flows.graph import open_repository
from flows.retraining.git import git
from flows.retraining.setting import Setting
from flows.retraining.sources import DOWNLOAD, MADE_HERE, watched_sources
from oft.errors import UserError
from oft.params import Params
from oft.storage import is_remote

LOCK_FILE = "lock"
WAIT_SECONDS = 0.5
BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
TAGS = "+refs/tags/*:refs/tags/*"


class Busy(UserError):
    """Another retraining works in the same folder."""


@contextmanager
def hold(folder: Path, log: Callable[[str], None], wait: bool = True) -> Iterator[None]:
    """Hold a retraining's folder alone; the kernel lets go of it when the process ends, however it ends.

    What a killed retraining left running in its clones is waited for as well: it still writes there.

    Raises:
        Busy: another process holds it and ``wait`` is false.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a+", encoding="utf-8") as stream:
        told = False
        while (holder := _holder(stream) or _left_behind(folder)) is not None:
            if not wait:
                raise Busy(
                    f"another retraining (process {holder}) works in {folder}; wait until it has ended, or "
                    "name another folder with --folder"
                )
            if not told:
                log(f"waiting for another retraining (process {holder}) that works in {folder}")
                told = True
            time.sleep(WAIT_SECONDS)
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def fetch(setting: Setting, target: Path) -> None:
    """Bring the clone at ``target``, made where there is none, to what its source has: branches and tags.

    What only the clone has, such as the tag of an interrupted promotion, is forgotten.

    Raises:
        UserError: the source cannot be read.
    """
    if not (target / ".git").is_dir():
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        git("clone", "--quiet", "--no-checkout", "--", setting.source, str(partial), root=setting.folder)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    # Of a git that was killed; whoever holds the folder is alone in it.
    (target / ".git" / "index.lock").unlink(missing_ok=True)
    git("remote", "set-url", "origin", setting.source, root=target)
    git("fetch", "--quiet", "--prune", "--force", "origin", BRANCHES, TAGS, root=target)


def resolve_revision(setting: Setting, clone: Path) -> str:
    """Return the commit that the setting's revision names in the source, now.

    Raises:
        UserError: it names none.
    """
    if setting.revision == "HEAD":
        return git("ls-remote", "origin", "HEAD", root=clone).partition("\t")[0] or _no_revision(setting)
    for name in (
        f"refs/remotes/origin/{setting.revision}",
        f"refs/tags/{setting.revision}",
        setting.revision,
    ):
        try:
            return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", root=clone)
        except UserError:
            continue
    return _no_revision(setting)


def open_clone(setting: Setting, target: Path, commit: str) -> None:
    """Check ``commit`` out at ``target`` and give it the source's DVC cache and remotes.

    What DVC has placed there before stays: it is compared, not trusted.
    """
    git("checkout", "--quiet", "--force", "--detach", commit, root=target)
    git("clean", "--quiet", "-fd", root=target)
    _share_cache(setting, target)


def link_sources(params: Params, setting: Setting, clone: Path) -> None:
    """Let relative paths of the params lead from the clone where they lead in the person's workspace.

    Raises:
        UserError: one leads out of the workspace, where a clone elsewhere cannot follow.
    """
    if setting.person is None:
        return
    for source in watched_sources(params).values():
        path = Path(source)
        if source in (DOWNLOAD, *MADE_HERE) or is_remote(source) or path.is_absolute():
            continue
        if ".." in path.parts:
            raise UserError(
                f"source {source!r} leads out of the repository, and retraining works in a clone elsewhere; "
                "write an absolute path in params.yaml"
            )
        link, original = clone / path, setting.person / path
        if link.is_symlink():
            link.unlink()
        if original.exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(original)
            _exclude(clone, path)


def _holder(stream: TextIO) -> str | None:
    """Take the lock and return None, or return the process that has it."""
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        return stream.read().strip() or "unknown"
    return None


def _left_behind(folder: Path) -> str | None:
    """Return a process that works in a clone without a terminal: a command whose retraining was killed.

    A person's shell, which may stand there too, has a terminal. The server of stages/warm.py writes nothing
    and stays for a while after every run; it ends a stage whose client has died.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            works_here = (process / "cwd").readlink().is_relative_to(folder.resolve())
            command = (process / "cmdline").read_bytes().split(b"\0")
            state, *fields = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # another user's, or gone
            continue
        warm = any(part.endswith(b"stages/warm.py") for part in command)
        if works_here and state != "Z" and fields[3] == "0" and not warm and process.name != str(os.getpid()):
            return process.name
    return None


def _share_cache(setting: Setting, target: Path) -> None:
    """Write .dvc/config.local, which git ignores: where the cache is, and the remotes as the person has them.

    Remotes too, because a relative address in .dvc/config starts at the folder of that file.
    """
    cache, default = str(setting.folder / "cache"), None
    remotes: dict[str, dict[str, Any]] = {}
    if setting.person is not None and (setting.person / ".dvc").is_dir():
        with open_repository(setting.person) as repo:
            cache = repo.cache.local_cache_dir
            for level in ("repo", "local"):
                known = repo.config.read(level)
                for name, options in known.get("remote", {}).items():
                    remotes.setdefault(name, {}).update(options)
                default = known.get("core", {}).get("remote", default)
    local = target / ".dvc" / "config.local"
    local.unlink(missing_ok=True)
    local.touch(mode=0o600)  # it may hold what opens a remote
    with open_repository(target) as repo, repo.config.edit("local") as config:
        config["cache"] = {"dir": cache}
        config["remote"] = remotes
        if default is not None:
            config["core"] = {"remote": default}


def _exclude(clone: Path, path: Path) -> None:
    """Keep a link out of the clone's commits."""
    file = clone / ".git" / "info" / "exclude"
    file.parent.mkdir(exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    if (line := f"/{path.as_posix()}") not in lines:
        file.write_text("\n".join([*lines, line, ""]), encoding="utf-8")


def _no_revision(setting: Setting) -> str:
    raise UserError(
        f"revision {setting.revision!r} is no branch, tag or commit of the source; commit it there first, or "
        "name another with --revision"
    )
