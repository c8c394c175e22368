from __future__ import annotations

import os
import queue
import subprocess
from concurrent.futures import Future
from pathlib import Path

import pytest

from flows.executors.node import StageJob, batches, job_folder, link_bundle, node_folder, stage_environment
from flows.process import CommandResult
from oft.errors import UserError

JOB = StageJob("train", "1" * 40, "2" * 40, {"params.yaml": "a: 1\n"}, {"OFT_WARM": "1"})


def test_a_node_keeps_its_folder_to_itself(tmp_path: Path) -> None:
    folder = node_folder({"OFT_RAY_FOLDER": str(tmp_path / "new")})
    assert folder == tmp_path / "new" and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(UserError, match="nobody else may write to"):
        node_folder({"OFT_RAY_FOLDER": str(folder)})
    (tmp_path / "link").symlink_to(tmp_path / "new")
    folder.chmod(0o700)
    with pytest.raises(UserError, match="let OFT_RAY_FOLDER name another"):
        node_folder({"OFT_RAY_FOLDER": str(tmp_path / "link")})


def test_a_stage_sees_its_gpus_and_the_heads_settings_and_not_the_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "planted")
    monkeypatch.setenv("OFT_WARM", "0")
    monkeypatch.setenv("AWS_PROFILE", "the node's own")
    environment = stage_environment(JOB, ["2"])
    assert not [name for name in environment if name.startswith("RAY_")]
    assert "planted" not in environment.values()
    assert environment["OFT_WARM"] == "1"
    assert environment["AWS_PROFILE"] == "the node's own"
    assert environment["CUDA_VISIBLE_DEVICES"] == "2"
    assert stage_environment(JOB, [])["CUDA_VISIBLE_DEVICES"] == ""


def test_every_line_is_sent_before_the_end() -> None:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    future: Future[CommandResult] = Future()
    sent = batches(lines, future)
    lines.put("one")
    lines.put("two")
    assert next(sent) == ["one", "two"]
    lines.put("last")
    future.set_result(CommandResult(0, ()))
    assert list(sent) == [["last"]]


def test_folders_of_killed_workers_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    jobs = tmp_path / JOB.project[:16] / "jobs"
    left, used = jobs / f"{dead.pid}-x", jobs / f"{os.getpid()}-y"
    for folder in (left, used):
        folder.mkdir(parents=True)
    with job_folder(tmp_path, JOB.project) as own:
        assert own.parent == jobs and used.is_dir() and not left.exists()
    assert not own.exists()


def test_a_bundle_is_fetched_once_and_outlives_its_successor(tmp_path: Path) -> None:
    folders = [tmp_path / "jobs" / name for name in "abc"]
    for folder in folders:
        folder.mkdir(parents=True)
    fetched: list[bytes] = []

    def fetch() -> bytes:
        fetched.append(b"bundle %d" % len(fetched))
        return fetched[-1]

    for folder, revision in zip(folders, ("1", "1", "2"), strict=True):
        link_bundle(folder, revision, fetch)
    assert [(folder / "bundle").read_bytes() for folder in folders] == [
        b"bundle 0", b"bundle 0", b"bundle 1",
    ]  # fmt: skip
    assert [path.name for path in tmp_path.glob("*.bundle")] == ["2.bundle"]
