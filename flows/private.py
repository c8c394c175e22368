"""``python -m flows.private`` (`make setup`): have plain ``dvc`` use the private site cache in this clone."""

from __future__ import annotations

from pathlib import Path

from flows.process import user_errors
from oft.storage.private import site_cache


def configure_clone(root: Path) -> None:
    """Write the private site cache to .dvc/config.local, which git ignores: plain ``dvc`` uses it there."""
    from dvc.config import Config

    with Config(str(root / ".dvc")).edit("local") as config:
        config.setdefault("core", {})["site_cache_dir"] = str(site_cache())


if __name__ == "__main__":
    with user_errors():
        configure_clone(Path.cwd())
