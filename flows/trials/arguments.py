"""The revision at work, as commands over trials are given it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from flows.trials.trial import Revision


def read_settings(revision: str, profile: str | None) -> Revision:
    """Return a commit of the repository at hand, with its params.yaml or the settings of a profile.

    Says on the terminal where edits stay out.

    Raises:
        UserError: there is no such revision or profile.
    """
    from flows.git import git
    from flows.trials.trial import read_revision
    from oft.profiles import compose_profile

    root = Path.cwd()
    commit = git("rev-parse", "--verify", f"{revision}^{{commit}}", root=root)
    read = read_revision(root, commit)
    if git("status", "--porcelain", "--untracked-files=no", root=root):
        typer.echo(f"What is edited here and not committed stays out; commit {commit[:10]} runs.", err=True)
    return read if profile is None else read._replace(values=compose_profile(root / "conf", profile))
