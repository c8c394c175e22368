"""``python -m flows.executors.remote_protocol``: the DVC steps of running a stage on another machine.

    open            the head: check that there is a remote and that the code is committed
    check STAGE     the head: restore the stage if possible, else push its inputs
    make STAGE      a node: pull the stage's inputs, reproduce it, push its outs
    restore STAGE   the head: fetch the node's outs, and restore the stage from them

Each reads its further input from a JSON file and writes its result to it. A stage that ran on a node leaves
the same run-cache entry as on the head: DVC's key for command, settings and inputs, and a value for those and
the outs. The protocol transfers that one entry, never the whole run cache.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.executors.pythonpath import without_pythonpath
from flows.executors.snapshot import SENT_FILES, require_committed
from flows.executors.worktree import prepare_worktree
from oft.errors import UserError, first_line
from oft.storage import read_json, write_json
from oft.storage.private import use_private_site_cache

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

HASH = re.compile(r"[0-9a-f]{64}")
NO_REMOTE = (
    "this DVC repository has no default remote, through which nodes and head exchange results; "
    "add one: `dvc remote add --default team s3://BUCKET/PREFIX`, and commit .dvc/config"
)


def check_head(_: Any) -> None:
    """Check, before anything starts, that stages of this clone can run on other machines.

    Raises:
        UserError: there is no default remote, it is out of reach, or code is not committed.
    """
    with _open() as repo:
        deps = [Path(dep.fs_path) for stage in repo.index.stages for dep in stage.deps if _is_local(dep)]
        require_committed(Path(repo.root_dir), deps)
        _probe_remote(repo)


def check(stage_name: str, known: Mapping[str, Any]) -> Any:
    """Bring the stage up to date if it need not run, else push its inputs.

    Args:
        known: {"on_remote": stages whose outs are on the remote already}.

    Returns:
        {"outcome": "run", "files": params.yaml and dvc.lock as they are}, or {"outcome": "done"}.

    Raises:
        UserError: the stage has to run and DVC could not restore it afterwards.
    """
    from dvc.repo import lock_repo

    with _open() as repo, lock_repo(repo):
        stage = _find(repo, stage_name)
        must_run = not stage.frozen and stage.changed() and not is_restorable(stage)
        if must_run:
            require_restorable(stage)
            files = {name: Path(repo.root_dir, name) for name in SENT_FILES}
            sent = {name: path.read_text(encoding="utf-8") for name, path in files.items() if path.is_file()}
    if not must_run:
        _reproduce(stage_name)
        return {"outcome": "done"}
    # Not under the lock: pushing may take long.
    with _open() as repo, _remote_errors():
        targets = find_targets(repo, _find(repo, stage_name), known["on_remote"])
        if targets and (count := repo.push(targets)):
            print(f"{count} files that {stage_name} reads pushed to the remote", flush=True)
    return {"outcome": "run", "files": sent}


def make(stage_name: str, job: Mapping[str, Any]) -> Any:
    """Reproduce the stage in the current folder, a worktree of this node.

    Returns:
        {"key", "value"}: its entry in the run cache, on the remote by now as its outs are.

    Raises:
        UserError: the worktree cannot be checked out at the revision, or the stage leaves no entry.
    """
    worktree = Path.cwd()
    prepare_worktree(worktree, job["revision"], Path(job["bundle"]), job["files"])
    _set_cache(worktree, job["cache"])
    with _open() as repo:
        if repo.config["core"].get("remote") is None:
            raise UserError(f"on the node: {NO_REMOTE}")
        if targets := find_targets(repo, _find(repo, stage_name)):
            with _remote_errors():
                repo.pull(targets)
    os.environ.update(without_pythonpath(os.environ))
    _reproduce(stage_name)
    with _open() as repo:
        key, value = find_entry(repo, _find(repo, stage_name))
        with _remote_errors():
            _transfer(repo.cloud.push, repo, key, value, "push")
            _copy_entry(repo, key, value, to_remote=True)
    return {"key": key, "value": value}


def restore(stage_name: str, entry: Mapping[str, Any]) -> Any:
    """Restore the stage from the outs a node has pushed; never run it here.

    Raises:
        UserError: the node ran with other inputs than there are here, or the remote lacks its outs.
    """
    from dvc.repo import lock_repo
    from dvc.stage.cache import _get_stage_hash

    key, value = entry["key"], entry["value"]
    if not (HASH.fullmatch(key) and HASH.fullmatch(value)):
        raise UserError(f"the node returned no entry of a run cache for {stage_name}: {key!r}, {value!r}")
    with _open() as repo:
        stage = _find(repo, stage_name)
        with lock_repo(repo):
            must_restore = stage.changed()
        if must_restore:  # else another process made it here meanwhile
            with _remote_errors():
                _copy_entry(repo, key, value, to_remote=False)
            stage.save_deps()
            if _get_stage_hash(stage) != key:
                raise UserError(_describe_difference(repo, stage, key, value))
            with _remote_errors():
                _transfer(repo.cloud.pull, repo, key, value, "pull")
            if not is_restorable(stage):
                raise UserError(
                    f"{stage_name} ran on a node and cannot be restored: the remote lacks some of its outs. "
                    "Check that head and nodes use the same remote, then run again"
                )
    _reproduce(stage_name)


def require_restorable(stage: Stage) -> None:
    """Check that DVC will keep a run-cache entry of the stage.

    Raises:
        UserError: it will not, with the reason.
    """
    reasons = {
        "it has no dependencies": not stage.deps,
        "it has no outs": not stage.outs,
        "it has always_changed": stage.always_changed,
        "an out has persist": any(out.persist for out in stage.outs),
        "a dependency lies outside this machine's files": any(not _is_local(dep) for dep in stage.deps),
        "an out lies outside the repository": any(
            not (_is_local(out) and out.is_in_repo) for out in stage.outs
        ),
        "an out that is neither metric nor plot has cache: false": any(
            not out.use_cache and not (out.is_metric or out.is_plot) for out in stage.outs
        ),
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise UserError(
            f"{stage.addressing} cannot run on another machine, as DVC keeps no run-cache entry of it: "
            f"{'; '.join(found)}. Change that in dvc.yaml, or run with OFT_EXECUTOR=local"
        )


def is_restorable(stage: Stage) -> bool:
    """Return whether DVC can restore the stage instead of running it; hashes its inputs as they are now."""
    import logging

    from dvc.logger import set_loggers_level
    from dvc.stage.cache import RunCacheNotFoundError

    try:
        stage.save_deps()  # in memory alone
        with set_loggers_level(logging.WARNING):
            stage.repo.stage_cache.restore(stage, dry=True)
    except RunCacheNotFoundError:
        return False
    return True


def find_targets(repo: Repo, stage: Stage, exclude: Sequence[str] = ()) -> list[str]:
    """Return the paths to transfer before the stage can run elsewhere: deps that are outs of others.

    Args:
        exclude: stages whose outs to leave out.
    """
    targets: dict[str, None] = {}
    outs = [
        out
        for out in repo.index.outs
        if out.use_cache and _is_local(out) and out.is_in_repo and out.stage.addressing not in exclude
    ]
    for dep in filter(_is_local, stage.deps):
        for out in outs:
            if out.fs.isin_or_eq(dep.fs_path, out.fs_path):
                targets[dep.fs_path] = None
            elif out.fs.isin(out.fs_path, dep.fs_path):
                targets[out.fs_path] = None
    return list(targets)


def find_entry(repo: Repo, stage: Stage) -> tuple[str, str]:
    """Return key and value of the run-cache entry of a stage that is up to date.

    Raises:
        UserError: there is none.
    """
    from dvc.stage.cache import _get_cache_hash, _get_stage_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    key = _get_stage_hash(stage)
    value = _get_cache_hash(to_single_stage_lockfile(stage))
    if not Path(repo.stage_cache._get_cache_path(key, value)).is_file():
        raise UserError(f"{stage.addressing} ran, yet DVC has kept no entry of it in its run cache")
    return key, value


def _open() -> Repo:
    from dvc.repo import Repo

    return Repo(_wait_for_lock=True)


def _find(repo: Repo, name: str) -> Stage:
    found: Stage
    (found,) = repo.stage.collect(name)
    return found


def _is_local(out: Any) -> bool:
    return bool(out.protocol == "local" and out.def_path)


def _reproduce(stage: str) -> None:
    """Run ``dvc repro --single-item``."""
    from dvc.cli import main

    status = main(["--wait-for-lock", "repro", "--single-item", stage])
    if status:
        sys.exit(status)


def _set_cache(worktree: Path, cache: str) -> None:
    from dvc.repo import Repo

    with Repo(str(worktree)) as repo, repo.config.edit("local") as config:
        config["cache"]["dir"] = cache


def _probe_remote(repo: Repo) -> None:
    """Raise UserError if there is no default remote or an S3 bucket that cannot be read."""
    name = repo.config["core"].get("remote")
    if name is None:
        raise UserError(NO_REMOTE)
    odb = repo.cloud.get_remote_odb(name)
    if odb.fs.protocol != "s3":
        return
    bucket = odb.path.partition("/")[0]
    try:
        odb.fs.info(bucket)
    except FileNotFoundError:
        raise UserError(
            f"the default DVC remote {name}: there is no bucket {bucket}, or not for you"
        ) from None
    except Exception as error:  # the network's and the credentials' errors have no common type
        raise UserError(f"the default DVC remote {name} cannot be reached: {first_line(error)}") from None


class RemoteError(Exception):
    """The DVC remote failed; the message begins with the error's type, which `outcomes.classify` reads."""


@contextmanager
def _remote_errors() -> Iterator[None]:
    """Turn errors of the network or of S3 into a RemoteError of one line."""
    from dvc.exceptions import DvcException

    try:
        yield
    except (UserError, DvcException):
        raise
    except Exception as error:
        kind = type(error)
        raise RemoteError(f"{kind.__module__}.{kind.__qualname__}: {first_line(error)}") from error


def _transfer(move: Callable[..., Any], repo: Repo, key: str, value: str, verb: str) -> None:
    """Push or pull the outs of a run-cache entry."""
    for objs in repo.stage_cache.get_used_objs([(key, value)]).values():
        if failed := move(objs).failed:
            raise UserError(f"{len(failed)} files could not be {verb}ed; DVC's lines above say why")


def _copy_entry(repo: Repo, key: str, value: str, *, to_remote: bool) -> None:
    """Copy one run-cache entry to the default remote or from it; it arrives whole or not at all."""
    from dvc.fs import generic, localfs

    odb = repo.cloud.get_remote_odb(None, "push --run-cache", hash_name="md5-dos2unix")
    here = Path(repo.stage_cache._get_cache_path(key, value))
    there = odb.fs.join(odb.path, "runs", key[:2], key, value)
    if to_remote:
        generic.copy(localfs, str(here), odb.fs, there)
        return
    here.parent.mkdir(parents=True, exist_ok=True)
    try:
        generic.copy(odb.fs, there, localfs, str(here))
    except FileNotFoundError:
        raise UserError(
            "the default DVC remote of the head lacks what the node has pushed to its own; "
            "check that .dvc/config, as committed, names the remote that both are to use"
        ) from None


def _describe_difference(repo: Repo, stage: Stage, key: str, value: str) -> str:
    """Name the inputs that differ between node and head."""
    from dvc.stage.serialize import to_single_stage_lockfile

    here, there = to_single_stage_lockfile(stage), repo.stage_cache._load_cache(key, value) or {}
    names = list(_changed(here.get("deps", []), there.get("deps", [])))
    parts = names + [part for part in ("cmd", "params") if here.get(part) != there.get(part)]
    return (
        f"{stage.addressing} ran on a node from other inputs than there are here now "
        f"({', '.join(parts) or 'its outs'}), so its result "
        "is not taken; if you changed them during the run, run again"
    )


def _changed(here: Iterable[Mapping[str, Any]], there: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    seen = {dep["path"]: dep.get("md5") for dep in there}
    return (dep["path"] for dep in here if seen.get(dep["path"]) != dep.get("md5"))


def main(step: str, file: str, *stage: str) -> None:
    """Run one step; ``file`` holds its input, and its result afterwards."""
    from dvc.exceptions import DvcException

    steps: dict[str, Callable[..., Any]] = {
        "open": check_head,
        "check": check,
        "make": make,
        "restore": restore,
    }
    try:
        use_private_site_cache()
        result = steps[step](*stage, read_json(Path(file)))
    except (UserError, DvcException) as error:
        print(f"ERROR: {error}", flush=True)
        sys.exit(1)
    except RemoteError as error:
        print(f"the DVC remote failed at {step} {' '.join(stage)}:\n{error}", flush=True)
        sys.exit(1)
    write_json(Path(file), result)


if __name__ == "__main__":
    main(*sys.argv[1:])
