"""Find what DVC cannot read among outs and in its cache, and remove it, so that a run makes it again.

DVC trusts each read-only file of its cache and reads each file of an out. So an object that a power cut left
empty is never written again, a link to a cleaned cache is an error that names no file, and a FIFO is waited
for without end.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flows.graph import name_stage, open_repository
from oft.errors import UserError

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo

EMPTY_MD5 = hashlib.md5(b"", usedforsecurity=False).hexdigest()
DIRECTORY = ".dir"
LEFTOVER_SECONDS = 3600.0
"""How long nobody has written to a temporary file of DVC's before it is taken for a killed process's."""
NUM_NAMED = 3


def repair_outs(root: Path) -> list[str]:
    """Remove links to nothing and FIFOs among outs, damaged objects of DVC's cache, and what killed transfers
    left there.

    A damaged object is written anew from the workspace where that is as dvc.lock says; else its stage runs.

    Returns:
        One sentence for each repair.

    Raises:
        UserError: dvc.yaml cannot be read, a folder of the cache is missing that outs link to, or what is
            damaged may not be removed.
    """
    with open_repository(root) as repo:
        cache = Path(repo.cache.local.path)
        outs = [out for out in repo.index.outs if out.protocol == "local" and out.is_in_repo]
        try:
            said = [*_remove_unreadable(outs, root, cache), *_remove_leftovers(cache)]
            for oid, damaged in _damaged_objects(outs).items():
                os.unlink(damaged[0].cache.oid_to_path(oid))
                said.append(_describe_damage(oid, damaged, root))
        except PermissionError as error:
            raise UserError(
                f"{error.filename} is damaged and may not be removed ({error.strerror}); remove it as its "
                "owner, then run again"
            ) from error
        said += [f"{out} was written to DVC's cache anew." for out in _restore(repo, outs)] if said else []
    return said


def _remove_unreadable(outs: Iterable[Output], root: Path, cache: Path) -> Iterator[str]:
    found = [path for out in outs for path in _unreadable(Path(out.fs_path))]
    links = [path for path in found if path.is_symlink()]
    if any(Path(os.readlink(path)).is_relative_to(cache) for path in links) and not (
        cache.is_dir() or cache.is_relative_to(root)
    ):
        raise UserError(
            f"DVC's cache {cache} is missing, and outs link to it, such as {links[0]}; mount its disk, or, "
            "if it was removed for good, make an empty folder of that name: what is missing is made again"
        )
    for path in found:
        path.unlink()
    for what, paths in (
        ("lead to files that are gone", links),
        ("are pipes or sockets, which hold no data", [path for path in found if path not in set(links)]),
    ):
        if paths:
            yield f"{_name(paths, root)} {what}; removed, what is missing is made again."


def _unreadable(path: Path) -> Iterator[Path]:
    """Yield what of an out, a file or a folder, is a link to nothing, a FIFO or a socket."""
    if path.is_dir() and not path.is_symlink():
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.is_file(follow_symlinks=False):
                    yield from _unreadable(Path(entry.path))
        return
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISLNK(mode) and not path.exists()):
        yield path


def _damaged_objects(outs: Iterable[Output]) -> dict[str, list[Output]]:
    """Return the objects of dvc.lock's outs that are not what their names say, with the outs that use them.

    Lists of folders are compared with their hash. Of files, which may be large, an empty one is noticed: that
    is what a power cut leaves.
    """
    damaged: dict[str, list[Output]] = {}
    for out in outs:
        oid = out.hash_info.value if out.use_cache and out.hash_info else None
        if oid is None:
            continue
        content = _read(Path(out.cache.oid_to_path(oid))) if oid.endswith(DIRECTORY) else None
        if content is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != oid[:32]:
            damaged.setdefault(oid, []).append(out)
            continue
        members = [entry["md5"] for entry in json.loads(content)] if content is not None else []
        for member in dict.fromkeys(members or [oid]):
            if _is_emptied(out.cache.oid_to_path(member), member):
                damaged.setdefault(member, []).append(out)
    return damaged


def _is_emptied(path: str, oid: str) -> bool:
    try:
        return os.stat(path).st_size == 0 and oid not in (EMPTY_MD5, EMPTY_MD5 + DIRECTORY)
    except FileNotFoundError:
        return False


def _describe_damage(oid: str, outs: Iterable[Output], root: Path) -> str:
    names = ", ".join(dict.fromkeys(str(out) for out in outs))
    stages = ", ".join(dict.fromkeys(name_stage(out.stage, root) for out in outs))
    return (
        f"DVC's cache held a damaged object of {names} ({oid[:2]}/{oid[2:]}), as after a power cut; removed, "
        f"{stages} makes it again where it cannot be restored."
    )


def _restore(repo: Repo, outs: Iterable[Output]) -> Iterator[Output]:
    """Write to the cache what it lacks of outs that are in the workspace as dvc.lock has them."""
    from dvc.exceptions import DvcException

    with repo.lock:
        for out in outs:
            if out.use_cache and out.hash_info and out.changed_cache() and not out.workspace_status():
                try:
                    out.commit(relink=False)
                except (DvcException, OSError):  # then its stage runs
                    continue
                yield out


def _remove_leftovers(cache: Path) -> Iterator[str]:
    """Remove temporary files of DVC's in its cache that nobody goes on with: it renames them when whole."""
    oldest = time.time() - LEFTOVER_SECONDS
    paths, num_bytes = [], 0
    for path in cache.glob("*/.*.tmp"):
        try:
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and max(status.st_mtime, status.st_ctime) < oldest:
                path.unlink()
                paths.append(path)
                num_bytes += status.st_size
        except FileNotFoundError:  # another run was first
            continue
    if paths:
        yield (
            f"{len(paths)} unfinished files ({num_bytes / 1e6:.1f} MB) that killed transfers had left in "
            "DVC's cache were removed."
        )


def _name(paths: list[Path], root: Path) -> str:
    named = ", ".join(str(path.relative_to(root)) for path in paths[:NUM_NAMED])
    rest = len(paths) - NUM_NAMED
    return f"{named} and {rest} more" if rest > 0 else named


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
