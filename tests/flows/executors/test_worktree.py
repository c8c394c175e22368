from __future__ import annotations

from pathlib import Path

import pytest

from flows.executors.snapshot import Snapshot, read_snapshot
from flows.executors.worktree import prepare_worktree
from oft.errors import UserError
from tests.flows.executors.clones import git, make_clone


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return make_clone(tmp_path / "clone", "", code_py="one\n", params_yaml="a: 1\n")


def save(folder: Path, snapshot: Snapshot) -> Path:
    path = folder / f"{snapshot.revision}.bundle"
    path.write_bytes(snapshot.bundle)
    return path


def test_a_worktree_changes_its_revision_and_keeps_results(clone: Path, tmp_path: Path) -> None:
    worktree = tmp_path / "worktree"
    worktree.mkdir()
    one = read_snapshot(clone)
    prepare_worktree(
        worktree, one.revision, save(tmp_path, one), {"params.yaml": "a: 2\n", "dvc.lock": "x\n"}
    )
    assert (worktree / "params.yaml").read_text() == "a: 2\n"
    assert git(worktree, "rev-parse", "HEAD") == one.revision
    (worktree / "a").write_text("a result\n")
    (worktree / "left.py").write_text("of a killed stage\n")
    (worktree / "code.py").write_text("of a killed stage\n")
    (worktree / ".git" / "index.lock").touch()

    (clone / "code.py").write_text("two\n")
    git(clone, "commit", "--quiet", "--all", "--message", "second")
    two = read_snapshot(clone)
    prepare_worktree(worktree, two.revision, save(tmp_path, two), {"params.yaml": "a: 3\n"})
    assert (worktree / "code.py").read_text() == "two\n"
    assert (worktree / "params.yaml").read_text() == "a: 3\n"
    assert (worktree / "a").read_text() == "a result\n"
    assert not (worktree / "dvc.lock").exists() and not (worktree / "left.py").exists()

    prepare_worktree(worktree, one.revision, tmp_path / "needs no bundle", {"params.yaml": "a: 1\n"})
    assert (worktree / "code.py").read_text() == "one\n"


def test_a_broken_worktree_is_recreated(clone: Path, tmp_path: Path) -> None:
    worktree = tmp_path / "worktree"
    (worktree / ".git").mkdir(parents=True)
    (worktree / ".git" / "HEAD").write_text("cut sho")
    snapshot = read_snapshot(clone)
    prepare_worktree(worktree, snapshot.revision, save(tmp_path, snapshot), {})
    assert (worktree / "code.py").read_text() == "one\n"


def test_a_damaged_bundle_is_reported(clone: Path, tmp_path: Path) -> None:
    worktree = tmp_path / "worktree"
    worktree.mkdir()
    snapshot = read_snapshot(clone)
    path = save(tmp_path, snapshot._replace(bundle=snapshot.bundle[:-40]))
    with pytest.raises(UserError, match="git fetch failed in"):
        prepare_worktree(worktree, snapshot.revision, path, {})
