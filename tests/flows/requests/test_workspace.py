"""A run's clone: of HEAD, with the repository's DVC cache, gone afterwards whatever happens."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.graph import open_repository
from flows.requests.workspace import open_workspace
from oft.errors import UserError
from tests.conftest import ROOT

AUTHOR = ["-c", "user.name=test", "-c", "user.email=test@example.org"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git and DVC repository with one commit, then an edit that is not committed."""
    from dvc.repo import Repo

    root = tmp_path / "a repository"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    Repo.init(str(root)).close()
    (root / "source.txt").write_text("committed")
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    subprocess.run(["git", *AUTHOR, "commit", "--quiet", "--message", "one"], cwd=root, check=True)
    (root / "source.txt").write_text("edited")
    return root


def test_a_clone_has_the_commit_and_the_cache_and_is_removed(repository: Path, tmp_path: Path) -> None:
    with open_workspace(repository, tmp_path / "runs", "one") as workspace:
        assert (workspace.root / "source.txt").read_text() == "committed"
        assert len(workspace.revision) == 40
        with open_repository(workspace.root) as clone, open_repository(repository) as original:
            assert clone.cache.local.path == original.cache.local.path
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_clone_is_removed_after_a_fault(
    repository: Path, tmp_path: Path, fault: type[BaseException]
) -> None:
    with pytest.raises(fault), open_workspace(repository, tmp_path / "runs", "one"):
        raise fault
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next_and_a_living_one_stays(
    repository: Path, tmp_path: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from flows.requests.workspace import open_workspace\n"
        "with open_workspace(Path(sys.argv[1]), Path(sys.argv[2]), 'killed'): print('open', flush=True); "
        "time.sleep(600)"
    )
    runs = tmp_path / "runs"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(repository), str(runs)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        with open_workspace(repository, runs, "second"):
            assert (runs / "killed" / "clone").is_dir()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    deadline = time.monotonic() + 30
    while (runs / "killed").exists() and time.monotonic() < deadline:
        with open_workspace(repository, runs, "third"):
            pass
    assert list(runs.iterdir()) == []


def test_what_a_killed_run_left_at_work_is_killed_before_its_clone_is_removed(
    repository: Path, tmp_path: Path
) -> None:
    """A stage leads a session of its own: it outlives the flow, and knows nothing of the next."""
    deserted = tmp_path / "runs" / "killed"
    (deserted / "clone" / "data").mkdir(parents=True)
    (tmp_path / "runs" / "killed.lock").touch()
    (tmp_path / "runs" / "killed-not").mkdir()
    command = "import time; print('at work', flush=True); time.sleep(600)"
    stage, other = (
        subprocess.Popen(
            [sys.executable, "-c", command],
            cwd=cwd,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for cwd in (deserted / "clone" / "data", tmp_path / "runs" / "killed-not")
    )
    try:
        for process in (stage, other):
            assert process.stdout is not None and process.stdout.readline() == "at work\n"
        with open_workspace(repository, tmp_path / "runs", "next"):
            assert not deserted.exists()
            assert stage.wait(30) == -signal.SIGKILL
            assert other.poll() is None
    finally:
        for process in (stage, other):
            process.kill()
            process.communicate()


def test_a_lock_whose_file_another_removes_meanwhile_is_taken_anew(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "runs" / "one.lock"
    taken = fcntl.flock
    removed: list[Path] = []

    def flock(stream: Any, operation: int) -> None:
        if not removed:  # the other, between opening and locking
            lock.unlink()
            removed.append(lock)
        taken(stream, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with open_workspace(repository, tmp_path / "runs", "one"):
        assert removed
        with lock.open("a") as stream, pytest.raises(BlockingIOError):
            taken(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with open_workspace(repository, tmp_path / "runs", "two") as workspace:
            assert (workspace.root.parents[1] / "one" / "clone").is_dir()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_folder_that_is_no_checkout_is_a_users_fault(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with (
        pytest.raises(UserError, match=r"git clone failed .*does not exist"),
        open_workspace(tmp_path / "empty", tmp_path / "runs", "one"),
    ):
        pass
    assert list((tmp_path / "runs").iterdir()) == []
