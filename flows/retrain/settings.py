"""The settings of a retraining: its source of code, its working folder, and the inboxes it watches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.git import git
from oft.errors import UserError

FOLDER_VARIABLE = "OFT_RETRAIN"
FOLDER = Path(".retrain")
DEFAULT_BRANCH = "retrain"
SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class RetrainSettings:
    """The settings of one line of retrainings.

    Attributes:
        source: the git repository that is cloned and pushed to: a folder of this machine, absolute, or an
            address without credentials.
        folder: where clones, lock and notes are kept between runs.
        revision: a branch, a tag or a commit of the source, whose code and settings are trained with.
        branch: the branch of the source that promotions are committed on.
        inboxes: for a data set (``coco``) or a folder of one (``dreambooth/dog``), the folder or the
            ``s3://bucket/prefix`` that new pictures arrive in.
        settle_seconds: how long a file of an inbox must have stayed unchanged.
    """

    source: str
    folder: Path
    revision: str = "HEAD"
    branch: str = DEFAULT_BRANCH
    inboxes: Mapping[str, str] = field(default_factory=dict)
    settle_seconds: float = SETTLE_SECONDS

    @property
    def clone(self) -> Path:
        """The clone that candidates are trained in."""
        return self.folder / "clone"

    @property
    def baseline(self) -> Path:
        """The clone in which the promoted model is scored on a candidate's pictures."""
        return self.folder / "baseline"

    @property
    def source_root(self) -> Path | None:
        """The source's workspace, if it is a folder of this machine; relative paths start there."""
        folder = Path(self.source)
        return folder if folder.is_dir() else None


def resolve_settings(
    source: str = ".",
    folder: Path | None = None,
    revision: str = "HEAD",
    branch: str = DEFAULT_BRANCH,
    inboxes: Mapping[str, str] | None = None,
    settle_seconds: float = SETTLE_SECONDS,
) -> RetrainSettings:
    """Return the settings, every part checked.

    Args:
        folder: None takes the environment's ``OFT_RETRAIN``, else ``.retrain`` in the source, or in the
            current folder where the source is an address.

    Raises:
        UserError: the source is no git repository, or a folder inside one, or its address holds credentials;
            the branch has no usable name or is checked out in the source.
    """
    here = Path(source)
    if here.is_dir():
        source = str(here.resolve())
        _check_root(Path(source))
    elif "://" in source and "@" in source.partition("://")[2].partition("/")[0]:
        raise UserError(
            "the address of the source must hold no user name and no password; give them the way git finds "
            "them (git's credential helper, or a key of ssh) and the address without"
        )
    elif "://" not in source and ":" not in source:
        raise UserError(f"source {source!r} must be a git repository: a folder that exists, or an address")
    chosen = folder or (Path(os.environ[FOLDER_VARIABLE]) if os.environ.get(FOLDER_VARIABLE) else None)
    settings = RetrainSettings(
        source,
        (chosen or (here if here.is_dir() else Path.cwd()) / FOLDER).absolute(),
        revision,
        branch,
        dict(inboxes or {}),
        settle_seconds,
    )
    if revision.startswith("-"):
        raise UserError(f"revision {revision!r} must be a branch, a tag or a commit of the source")
    _check_branch(settings)
    return settings


def _check_root(folder: Path) -> None:
    """Refuse a folder inside a repository: git's commands work there, but nobody can clone it."""
    bare = git("rev-parse", "--is-bare-repository", root=folder) == "true"
    top = Path(git("rev-parse", "--absolute-git-dir" if bare else "--show-toplevel", root=folder)).resolve()
    if top != folder:
        raise UserError(
            f"source {folder} must be the root of a git repository, and it lies inside one; run in {top}, or "
            f"give --source {top}"
        )


def _check_branch(settings: RetrainSettings) -> None:
    root = settings.source_root or Path.cwd()
    try:
        git("check-ref-format", f"refs/heads/{settings.branch}", root=root)
    except UserError:
        raise UserError(
            f"branch {settings.branch!r} must be a name that git allows, such as {DEFAULT_BRANCH}"
        ) from None
    if settings.source_root is None:
        return
    if git("rev-parse", "--is-bare-repository", root=root) == "false":
        # Pushing to a checked-out branch would change a user's workspace.
        worktrees = git("worktree", "list", "--porcelain", root=root).splitlines()
        if f"branch refs/heads/{settings.branch}" in worktrees:
            raise UserError(
                f"branch {settings.branch!r} is checked out in {root}, and nothing is pushed to a branch "
                "that someone works on; switch to another there, or name another with --branch"
            )
