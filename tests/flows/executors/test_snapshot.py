from __future__ import annotations

from pathlib import Path

import pytest

from flows.executors.snapshot import read_snapshot, require_committed
from oft.errors import UserError
from tests.flows.executors.clones import git, make_clone


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return make_clone(tmp_path / "clone", "", code_py="one\n", params_yaml="a: 1\n")


def test_a_snapshot_is_the_revision_with_its_history(clone: Path, tmp_path: Path) -> None:
    first = git(clone, "rev-parse", "HEAD")
    (clone / "code.py").write_text("two\n")
    git(clone, "commit", "--quiet", "--all", "--message", "second")
    snapshot = read_snapshot(clone)
    assert (snapshot.project, snapshot.revision) == (first, git(clone, "rev-parse", "HEAD"))
    (tmp_path / "bundle").write_bytes(snapshot.bundle)
    git(tmp_path, "clone", "--quiet", "bundle", "copy")
    assert git(tmp_path / "copy", "log", "--format=%s").split() == ["second", "first"]


def test_settings_need_not_be_committed_nor_files_that_no_stage_reads(clone: Path) -> None:
    for name in ("params.yaml", "dvc.lock", "notes.txt"):
        (clone / name).write_text("changed\n")
    require_committed(clone, [clone / "data"])


@pytest.mark.parametrize("name", ["code.py", "data/new.txt", "data"])
def test_stage_inputs_must_be_committed(clone: Path, name: str) -> None:
    path = clone / ("data" if name == "data" else name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("changed\n")
    with pytest.raises(UserError, match=rf"not committed: {name}; commit them"):
        require_committed(clone, [clone / "data"])


def test_an_uncloneable_repository_is_refused(clone: Path, tmp_path: Path) -> None:
    (clone / "code.py").write_text("two\n")
    git(clone, "commit", "--quiet", "--all", "--message", "second")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{clone}", "shallow")
    with pytest.raises(UserError, match="git fetch --unshallow"):
        read_snapshot(tmp_path / "shallow")
    (clone / "inside").mkdir()
    with pytest.raises(UserError, match="must be the root of its git clone"):
        read_snapshot(clone / "inside")
    with pytest.raises(UserError, match="not a git repository"):
        read_snapshot(tmp_path)
