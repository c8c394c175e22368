"""Runs of a revision: in a clone with the shared cache; the workspace it was made from stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.clones import clone_at
from flows.commands import run_dvc
from flows.git import git
from oft.errors import UserError
from oft.storage import dump_yaml

from .conftest import MakeRepository


@pytest.fixture
def committed(make_repository: MakeRepository) -> Path:
    """A git repository whose stages have run, with an edit that is not committed."""
    root = make_repository()
    (root / ".gitignore").write_text("/.clones/\n/a\n/b\n/c\n/metrics.json\n/ran.txt\n")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    git("init", "--quiet", root=root)
    assert run_dvc(["repro"], root=root, log=lambda _: None).exit_code == 0
    git("add", "--all", root=root)
    git("commit", "--quiet", "--message", "one", root=root)
    (root / "source.txt").write_text("edited")
    return root


def test_a_revision_is_restored_from_the_shared_cache_and_the_workspace_left_alone(committed: Path) -> None:
    said: list[str] = []
    with clone_at(committed, "HEAD", said.append) as clone:
        assert (clone / "source.txt").read_text() == "source"
        lines: list[str] = []
        assert run_dvc(["repro"], root=clone, log=lines.append).exit_code == 0
        assert not any(line.startswith("Running stage") for line in lines)
        assert (clone / "c").read_text() == "one\n"
        assert git("status", "--porcelain", root=clone) == ""
    assert git("rev-parse", "--short=10", "HEAD", root=committed) in said[0]
    assert (committed / "source.txt").read_text() == "edited"
    assert git("status", "--porcelain", root=committed) == " M source.txt"


def test_the_clone_changes_its_revision(committed: Path) -> None:
    git("commit", "--quiet", "--all", "--message", "two", root=committed)
    git("tag", "second", root=committed)
    with clone_at(committed, "HEAD~1", lambda _: None) as clone:
        assert (clone / "source.txt").read_text() == "source"
        (clone / "stray.txt").write_text("left behind")
    with clone_at(committed, "second", lambda _: None) as clone:
        assert (clone / "source.txt").read_text() == "edited"
        assert not (clone / "stray.txt").exists()


def test_a_detached_head_and_what_a_killed_git_left_are_no_hindrance(committed: Path) -> None:
    git("checkout", "--quiet", "--detach", root=committed)
    git("commit", "--quiet", "--all", "--message", "on no branch", root=committed)
    with clone_at(committed, "HEAD~1", lambda _: None) as clone:
        pass
    for lock in ("index.lock", "HEAD.lock", "packed-refs.lock", "refs/source/HEAD.lock"):
        (clone / ".git" / lock).parent.mkdir(exist_ok=True)
        (clone / ".git" / lock).touch()
    with clone_at(committed, "HEAD", lambda _: None) as clone:
        assert (clone / "source.txt").read_text() == "edited"


def test_an_unknown_revision_of_the_source_is_refused(committed: Path) -> None:
    with (
        pytest.raises(UserError, match="'nowhere' is no branch, tag or commit"),
        clone_at(committed, "nowhere", lambda _: None),
    ):
        pass


def test_a_clone_finds_what_its_settings_name_beside_git(committed: Path) -> None:
    for name in ("judges/mine", "models"):
        (committed / "data" / name).mkdir(parents=True)
    (committed / "data/models/file.ckpt").write_text("weights")
    settings = {
        "base": {"source": "data/models/file.ckpt", "tokenizer": None},
        "evaluate": {"judges": "data/judges/mine"},
        "blip": {"model": "owner/name@0000"},
        "datasets": {"a": {"acquire": {"source": "../outside"}}, "b": {"acquire": {"source": "/etc"}}},
    }
    (committed / "params.yaml").write_text(dump_yaml(settings))
    (committed / ".gitignore").write_text((committed / ".gitignore").read_text() + "/data\n")
    git("add", "params.yaml", ".gitignore", root=committed)
    git("commit", "--quiet", "--message", "settings", root=committed)
    for _ in range(2):  # the clone stays for the next run
        with clone_at(committed, "HEAD", lambda _: None) as clone:
            assert (clone / "data/models/file.ckpt").read_text() == "weights"
            assert (clone / "data/judges/mine").resolve() == (committed / "data/judges/mine").resolve()
            links = sorted(path.name for path in clone.rglob("*") if path.is_symlink())
            assert links == ["file.ckpt", "mine"]
