"""Clones that runs work in, with the shared DVC cache; a run never touches the user's workspace."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.git import git, remove_stale_locks
from flows.graph import open_repository
from flows.locking import exclusive_lock
from oft.errors import UserError
from oft.settings.paths import named_paths
from oft.storage import YAMLError, load_yaml

CLONES = Path(".clones")
BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
TAGS = "+refs/tags/*:refs/tags/*"
HEAD = "+HEAD:refs/source/HEAD"


def fetch(source: str, target: Path) -> None:
    """Make the clone at ``target`` if there is none, and fetch its source's branches and tags.

    Drop what only the clone has, such as the tag of an interrupted promotion, and the locks of a killed git:
    whoever holds the folder is alone in it.

    Args:
        source: a git repository: a folder of this machine, absolute, or an address without credentials.

    Raises:
        UserError: the source cannot be read.
    """
    if not (target / ".git").is_dir():
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        git("clone", "--quiet", "--no-checkout", "--", source, str(partial), root=partial.parent)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    remove_stale_locks(target)
    git("remote", "set-url", "origin", source, root=target)
    git("fetch", "--quiet", "--prune", "--force", "origin", BRANCHES, TAGS, HEAD, root=target)


def resolve_revision(clone: Path, revision: str) -> str:
    """Return the commit of a branch, a tag, a commit or HEAD of a clone's source, as of the last ``fetch``.

    Raises:
        UserError: the source has none of that name.
    """
    named = (f"refs/remotes/origin/{revision}", f"refs/tags/{revision}", revision)
    for name in ("refs/source/HEAD",) if revision == "HEAD" else named:
        try:
            return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", root=clone)
        except UserError:
            continue
    raise UserError(
        f"revision {revision!r} is no branch, tag or commit of the source; commit it there first, or "
        "name another with --revision"
    )


def check_out(clone: Path, commit: str) -> None:
    """Check out a commit in a clone; DVC's outs there stay, for DVC to compare."""
    git("checkout", "--quiet", "--force", "--detach", commit, root=clone)
    git("clean", "--quiet", "-fd", root=clone)


def share_cache(clone: Path, source_root: Path | None, default_cache: Path) -> None:
    """Give a clone the DVC cache and the remotes of the workspace it was cloned from.

    It is written to .dvc/config.local, which git ignores. Remotes too, because a relative address in
    .dvc/config starts at the folder of that file.

    Args:
        source_root: that workspace; None where the clone's source is an address.
        default_cache: the cache's folder in that case.
    """
    cache, default_remote = str(default_cache), None
    remotes: dict[str, dict[str, Any]] = {}
    if source_root is not None and (source_root / ".dvc").is_dir():
        with open_repository(source_root) as repo:
            cache = repo.cache.local_cache_dir
            for level in ("repo", "local"):
                known = repo.config.read(level)
                for name, options in known.get("remote", {}).items():
                    remotes.setdefault(name, {}).update(options)
                default_remote = known.get("core", {}).get("remote", default_remote)
        link_inputs(clone, source_root)
    local = clone / ".dvc" / "config.local"
    local.unlink(missing_ok=True)
    local.touch(mode=0o600)  # it may hold a remote's credentials
    with open_repository(clone) as repo, repo.config.edit("local") as config:
        config["cache"] = {"dir": cache}
        config["remote"] = remotes
        if default_remote is not None:
            config["core"] = {"remote": default_remote}


def link_inputs(clone: Path, source_root: Path) -> None:
    """Let a clone find what its params.yaml names by a relative path and git does not carry: judges, bases.

    The paths stay as they are in the settings, so that DVC knows the results made with them.
    """
    try:
        values = load_yaml((clone / "params.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError):  # whoever reads the settings says what is wrong
        return
    for name in named_paths(values if isinstance(values, dict) else {}).values():
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            continue
        there, here = source_root.resolve() / path, clone / path
        if there.exists() and not here.exists():
            here.parent.mkdir(parents=True, exist_ok=True)
            here.unlink(missing_ok=True)  # a link that leads nowhere
            here.symlink_to(there)


@contextmanager
def clone_at(root: Path, revision: str, say: Callable[[str], None], name: str = "revision") -> Iterator[Path]:
    """Yield a clone of the repository ``root`` at a revision, with its DVC cache and remotes.

    It stays for the next run. Waits while another run works in it.

    Args:
        name: tells the clones of different uses apart.

    Raises:
        UserError: ``root`` is no git repository, or has no such revision.
    """
    clone = root / CLONES / name
    with exclusive_lock(root / CLONES / f"{name}.lock", say):
        fetch(str(root), clone)
        commit = resolve_revision(clone, revision)
        check_out(clone, commit)
        share_cache(clone, root, root / CLONES / "cache")
        say(f"revision {revision}: commit {commit[:10]}, in {CLONES / name}")
        yield clone
