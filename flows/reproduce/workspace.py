"""Lock a clone for one run at a time, and repair the DVC state that a killed run left half-written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from flows.git import git_bytes
from flows.locking import exclusive_lock
from oft.errors import UserError
from oft.storage import MarkedYAMLError, YAMLError, atomic_file, load_yaml

LOCKFILE = "dvc.lock"
LOCKFILE_BACKUP = Path(".dvc/tmp/dvc.lock.kept")
"""The last dvc.lock known to be whole."""
LOCKFILE_TORN = Path(".dvc/tmp/dvc.lock.torn")
"""The last one that was replaced."""
CONFLICT_MARK = re.compile(rb"^(<<<<<<<|>>>>>>>) ", re.MULTILINE)
RUN_LOCK = Path(".dvc/tmp/run.lock")
RWLOCK = Path(".dvc/tmp/rwlock")


@contextmanager
def workspace_lock(root: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Lock the clone ``root`` against other runs for the block; wait for one that holds it already.

    Plain ``dvc`` ignores this lock: DVC's own locks guard the files it works on, and a run waits for those.

    Raises:
        UserError: ``root`` is not the root of a DVC repository.
    """
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root} is not the root of a DVC repository; run this in the root of a clone")
    with exclusive_lock(root / RUN_LOCK, say):
        yield


def read_outs(root: Path) -> dict[str, object]:
    """Return the outs of each stage with their hashes, from dvc.lock; none while that is being written."""
    content = _read(root / LOCKFILE)
    stages = _stages(content) if content is not None else None
    return {stage: entry.get("outs") for stage, entry in (stages or {}).items()}


def backup_lockfile(root: Path) -> None:
    """Copy dvc.lock, if it is whole, to a backup for ``repair_dvc_state``."""
    with _dvc_lock(root):
        content = _read(root / LOCKFILE)
        if content is not None and _stages(content) is not None and content != _read(root / LOCKFILE_BACKUP):
            with atomic_file(root / LOCKFILE_BACKUP) as partial:
                partial.write_bytes(content)


def repair_dvc_state(root: Path) -> list[str]:
    """Repair DVC's own files after a kill in mid-write: DVC does not write them atomically.

    Restore a torn dvc.lock from its backup (stages that ended since are restored from the run
    cache); empty a torn list of DVC's locks.

    Returns:
        One sentence for each repair.

    Raises:
        UserError: dvc.lock is torn and no whole one is known, or a person has to mend it.
    """
    done = []
    with _dvc_lock(root):
        content, kept, committed = (
            _read(root / LOCKFILE),
            _read(root / LOCKFILE_BACKUP),
            _committed_lockfile(root),
        )
        if content is not None:
            _refuse_unfinished_edit(root / LOCKFILE, content)
        if content is not None and _is_torn(content, kept) and content != committed:
            whole = kept if kept is not None and _stages(kept) is not None else committed
            if whole is None:
                raise UserError(
                    f"{root / LOCKFILE} is cut short and no earlier state of it is known; run "
                    "`git checkout dvc.lock`, or delete it: the run cache gives back what was made"
                )
            for name, text in ((LOCKFILE_TORN, content), (LOCKFILE, whole)):
                with atomic_file(root / name) as partial:
                    partial.write_bytes(text)
            done.append(
                "dvc.lock was cut short by a killed process; the last whole one stands again, the other is "
                f"{LOCKFILE_TORN}."
            )
        if (rwlock := _read(root / RWLOCK)) is not None and (repaired := _without_dead(rwlock)) != rwlock:
            with atomic_file(root / RWLOCK) as partial:
                partial.write_bytes(repaired)
            done.append("DVC's list of files in use named processes that are gone; it is up to date again.")
    return done


@contextmanager
def _dvc_lock(root: Path) -> Iterator[None]:
    """Hold the lock under which DVC writes dvc.lock."""
    from dvc.lock import make_lock

    folder = root / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with make_lock(str(folder / "lock"), tmp_dir=str(folder), wait=True):
        yield


def _refuse_unfinished_edit(path: Path, content: bytes) -> None:
    """Raise UserError where a file is damaged as no kill in mid-write does it: a person was at it."""
    if CONFLICT_MARK.search(content):
        raise UserError(
            f"{path} has the marks of a merge that git could not finish; choose a side (`git checkout --ours "
            "dvc.lock` or `--theirs`, then `git add dvc.lock`) or remove the marks, and run again: what the "
            "other side had made is restored from the run cache where that has it, or made again"
        )
    try:
        load_yaml(content)
    except MarkedYAMLError as error:
        last = content.count(b"\n", 0, len(content.rstrip()))
        if error.problem_mark is not None and error.problem_mark.line < last:
            raise UserError(
                f"{path}, line {error.problem_mark.line + 1}: {error.problem}; mend it, or take the "
                "committed one back with `git checkout dvc.lock`, and run again"
            ) from error
    except (YAMLError, UnicodeDecodeError):  # not even text, as after a power cut
        return


def _is_torn(content: bytes, kept: bytes | None) -> bool:
    stages = _stages(content)
    if stages is None:
        return True
    before = _stages(kept) if kept is not None else None
    names = list(stages)
    if before is None or names != list(before)[: len(names)]:
        return False
    # A file cut at the end of a line can be valid YAML. It lacks the last stages, or leaves of the last one.
    # A false positive costs little: the run cache restores those stages.
    return len(names) < len(before) or bool(
        names and _num_leaves(stages[names[-1]]) < _num_leaves(before[names[-1]])
    )


def _stages(content: bytes) -> dict[str, Any] | None:
    """Return the stages in the bytes of a dvc.lock; None if they are no whole one."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException

    try:
        values = Lockfile.validate(load_yaml(content))
    except (YAMLError, UnicodeDecodeError, DvcException):
        return None
    return dict(values.get("stages", {})) if content.endswith(b"\n") else None


def _num_leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_num_leaves, value.values()))
    return sum(map(_num_leaves, value)) if isinstance(value, list) else 1


def _without_dead(content: bytes) -> bytes:
    """Return DVC's list of files in use without those of processes that are gone.

    DVC drops a process whose number nobody has; after a restart of the machine another one soon has it.
    """
    try:
        lock = json.loads(content)
        read = {path: list(filter(_is_alive, users)) for path, users in lock.get("read", {}).items()}
        write = {path: user for path, user in lock.get("write", {}).items() if _is_alive(user)}
    except (ValueError, AttributeError, TypeError, KeyError):  # cut short in mid-write
        return b"{}"
    alive = {"read": {path: users for path, users in read.items() if users}, "write": write}
    kept = {kind: paths for kind, paths in alive.items() if kind in lock}
    return content if kept == lock else json.dumps(kept).encode()


def _is_alive(user: dict[str, Any]) -> bool:
    """Return whether the process that DVC noted, by number and words, is the one that has this number now."""
    try:
        words = psutil.Process(user["pid"]).cmdline()
    except psutil.Error:
        return False
    noted = str(user["cmd"]).split()[1:]
    return " ".join(words).split()[-len(noted) :] == noted if noted else bool(words)


def _committed_lockfile(root: Path) -> bytes | None:
    try:
        content = git_bytes("show", f"HEAD:./{LOCKFILE}", root=root)
    except UserError:  # no git, no commit, or none with a lock
        return None
    return content if _stages(content) is not None else None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
