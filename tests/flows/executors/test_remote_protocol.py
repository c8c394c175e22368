"""Results go from clone to clone through a DVC remote; what cannot is refused with the reason."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from flows.executors.remote_protocol import (
    check,
    check_head,
    find_targets,
    main,
    make,
    require_restorable,
    restore,
)
from flows.executors.snapshot import read_snapshot
from flows.process import CommandResult
from flows.reproduce.outcomes import Outcome, classify
from oft.errors import UserError
from tests.conftest import ROOT
from tests.flows.executors.clones import make_clone

CHAIN = """
stages:
  first: {cmd: mkdir tree && cp source.txt tree/one, deps: [source.txt], outs: [tree]}
  second:
    cmd: cat tree/one > b && echo 1 > m.json
    deps: [tree/one]
    outs: [b]
    metrics: [m.json: {cache: false}]
"""


@pytest.fixture
def head(tmp_path: Path) -> Path:
    return make_clone(tmp_path / "head", str(tmp_path / "remote"), dvc_yaml=CHAIN, source_txt="one\n")


def make_on_node(head: Path, monkeypatch: pytest.MonkeyPatch, stage: str, files: dict[str, str]) -> Any:
    """Run a stage in a worktree beside the head; return its run-cache entry."""
    snapshot = read_snapshot(head)
    node = head.parent / "node"
    (node / "worktree").mkdir(parents=True, exist_ok=True)
    (node / "bundle").write_bytes(snapshot.bundle)
    monkeypatch.chdir(node / "worktree")
    monkeypatch.setenv("PYTHONPATH", "")
    job = {
        "revision": snapshot.revision,
        "bundle": str(node / "bundle"),
        "files": files,
        "cache": str(node / "cache"),
    }
    entry = make(stage, job)
    monkeypatch.chdir(head)
    return entry


def test_stages_made_elsewhere_are_restored_here(head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(head)
    check_head({})
    for stage in ("first", "second"):
        found = check(stage, {"on_remote": []})
        assert found["outcome"] == "run"
        restore(stage, make_on_node(head, monkeypatch, stage, found["files"]))
        assert check(stage, {"on_remote": []}) == {"outcome": "done"}
    assert (head / "b").read_text() == "one\n" and (head / "m.json").read_text() == "1\n"
    with Repo() as repo:
        assert repo.status() == {}


def test_inputs_made_here_are_pushed_for_the_node(head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(head)
    with Repo() as repo:
        repo.reproduce("first")
    found = check("second", {"on_remote": []})
    make_on_node(head, monkeypatch, "second", found["files"])
    assert (head.parent / "node" / "worktree" / "b").read_text() == "one\n"


def test_a_result_from_other_inputs_is_not_taken(head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(head)
    entry = make_on_node(head, monkeypatch, "first", check("first", {"on_remote": []})["files"])
    (head / "source.txt").write_text("changed meanwhile\n")
    with pytest.raises(UserError, match=r"other inputs than there are here now \(source.txt\)"):
        restore("first", entry)
    assert not (head / "tree").exists()


def test_a_result_that_the_remote_lacks_is_not_made_here(head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(head)
    entry = make_on_node(head, monkeypatch, "first", check("first", {"on_remote": []})["files"])
    (head.parent / "remote").rename(head.parent / "another")
    with pytest.raises(UserError, match="lacks what the node has pushed"):
        restore("first", entry)
    with pytest.raises(UserError, match="no entry of a run cache"):
        restore("first", {"key": "../../x", "value": entry["value"]})
    assert not (head / "tree").exists()


def test_a_network_failure_is_classified_as_transient(
    head: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.chdir(head)
    with Repo() as repo:
        repo.reproduce("first")
    monkeypatch.setattr(Repo, "push", fail)
    file = head.parent / "step.json"
    file.write_text('{"on_remote": []}')
    with pytest.raises(SystemExit, match="1"):
        main("check", str(file), "second")
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("builtins.ConnectionResetError: [Errno 104]")
    assert classify(CommandResult(1, tuple(said))) is Outcome.CRASHED


def test_a_clone_without_a_remote_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_clone(tmp_path / "head", "", dvc_yaml=CHAIN, source_txt="one\n"))
    with pytest.raises(UserError, match=r"no default remote.*dvc remote add --default"):
        check_head({})


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = tmp_path / "nothing"
    nothing.touch()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nothing))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nothing))
    monkeypatch.chdir(make_clone(tmp_path / "head", "s3://bukcet/x", dvc_yaml=CHAIN, source_txt="one\n"))
    with pytest.raises(UserError, match="remote team: there is no bucket bukcet"):
        check_head({})


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("{cmd: echo > x, outs: [x]}", "no dependencies"),
        ("{cmd: echo, deps: [source.txt]}", "no outs"),
        ("{cmd: echo > x, deps: [source.txt], outs: [x], always_changed: true}", "always_changed"),
        ("{cmd: echo > x, deps: [source.txt], outs: [x: {persist: true}]}", "persist"),
        ("{cmd: echo > x, deps: [source.txt], outs: [x: {cache: false}]}", "cache: false"),
        ("{cmd: echo > x, deps: [source.txt], outs: [/elsewhere/x]}", "outside the repository"),
    ],
)
def test_a_stage_without_a_run_cache_entry_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, reason: str
) -> None:
    root = make_clone(tmp_path / "head", "", dvc_yaml=f"stages:\n  it: {stage}\n", source_txt="one\n")
    monkeypatch.chdir(root)
    with Repo() as repo, pytest.raises(UserError, match=f"it cannot run on another machine.*{reason}"):
        require_restorable(repo.stage.collect("it")[0])


def test_every_stage_of_this_pipeline_can_run_on_another_machine() -> None:
    with Repo(str(ROOT)) as repo:
        stages = [stage for stage in repo.index.stages if not stage.frozen]
        assert stages
        for stage in stages:
            require_restorable(stage)


def test_a_stage_needs_the_outs_it_reads_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = """
stages:
  a: {cmd: make, deps: [source.txt], outs: [data/a, other]}
  b: {cmd: make, deps: [source.txt], outs: [data/b]}
  c: {cmd: make, deps: [source.txt, data, other/part], outs: [c]}
"""
    monkeypatch.chdir(make_clone(tmp_path / "head", "", dvc_yaml=stages, source_txt="one\n"))
    with Repo() as repo:
        (stage,) = repo.stage.collect("c")
        root = Path(repo.root_dir)
        assert sorted(find_targets(repo, stage)) == [
            str(root / path) for path in ("data/a", "data/b", "other/part")
        ]
        assert find_targets(repo, stage, ["a"]) == [str(root / "data/b")]
