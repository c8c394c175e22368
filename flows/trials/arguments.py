"""Arguments that commands over trials share: names, seeds, the revision at work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from oft.errors import UserError

if TYPE_CHECKING:
    from flows.trials.trial import Revision


def parse_names(text: str) -> list[str]:
    """Return names that commas part, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def parse_seeds(text: str) -> list[int]:
    """Return seeds that commas part.

    Raises:
        UserError: there is none, or one is no whole number of 0 or more.
    """
    found = parse_names(text)
    if not found or not all(one.isascii() and one.isdecimal() for one in found):
        raise UserError(f"--seeds {text!r} must be whole numbers, 0 or more, with commas, such as 0,1,2")
    return list(map(int, found))


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
