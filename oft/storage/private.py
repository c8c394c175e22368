"""Folders whose contents are trusted, so nobody else may write to them; DVC's site cache is in one.

DVC's own place for its site cache, /var/tmp/dvc, is everybody's to write to, and DVC unpickles what it finds
there: another user of the machine could run code as this one. Whoever opens a repository of DVC, as DVCLive
does too, calls ``use_private_site_cache`` before.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from oft.errors import UserError

SITE_CACHE = "DVC_SITE_CACHE_DIR"


def private_folder(folder: Path, variable: str) -> Path:
    """Return ``folder``, which is this user's and which nobody else may write to; make it if there is none.

    Args:
        variable: of the environment, lets the user choose another; for the message.

    Raises:
        UserError: it belongs to somebody else, others may write into it, or it cannot be made.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()  # of a link itself: somebody else may point it elsewhere
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made ({error.strerror}); let {variable} name a folder of your own"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise UserError(
            f"{folder} must be a folder of your own that nobody else may write to, for what lies there is "
            f"trusted; remove it and run again, or let {variable} name another"
        )
    return folder


def site_cache() -> Path:
    """Return the folder of DVC's site cache: that of the environment, else one in the user's cache folder.

    Raises:
        UserError: it is not this user's alone.
    """
    if chosen := os.environ.get(SITE_CACHE):
        return private_folder(Path(chosen), SITE_CACHE)
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:  # as in a container whose user has a number alone
        raise UserError(f"you have no home folder; let {SITE_CACHE} name a folder of your own") from error
    return private_folder(caches / "oft-dvc", SITE_CACHE)


def use_private_site_cache() -> None:
    """Have DVC in this process, and in those that it starts, use the private site cache."""
    os.environ[SITE_CACHE] = str(site_cache())
