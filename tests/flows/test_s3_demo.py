"""What one clone pushed, another does not make again: the demonstration's law on a tiny pipeline."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows import s3_demo
from flows.commands import dvc_command
from flows.s3_demo import BUCKET, change_setting, demonstrate
from oft.errors import UserError
from tests.conftest import ROOT

PIPELINE = """
stages:
  one: {cmd: "seq 1 20000 > one", params: [one.size], outs: [one]}
  two: {cmd: "mkdir -p two; cat one > two/a; seq 1 9 > two/b", deps: [one], params: [two.size], outs: [two]}
  three: {cmd: "cat two/a two/b > three", deps: [two], outs: [three]}
"""


@pytest.fixture
def source(tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with a pipeline of three stages, and the environment of its team."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "dvc.yaml").write_text(PIPELINE)
    (source / "params.yaml").write_text("one:\n  size: 1  # how large\ntwo:\n  size: 1\n")
    (source / ".gitignore").write_text("/one\n/two\n/three\n")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (
        ["git", "init", "--quiet"],
        dvc_command(["init", "--quiet"]),
        ["git", "add", "--all"],
        ["git", *author, "commit", "--quiet", "--message", "pipeline"],
    ):
        subprocess.run(command, cwd=source, check=True)
    empty = tmp_path / "empty"
    empty.touch()  # aiobotocore, unlike boto3, takes /dev/null for missing
    monkeypatch.setenv("AWS_CONFIG_FILE", str(empty))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    s3.create_bucket(Bucket=BUCKET)
    return source


def test_a_second_clone_runs_nothing_and_then_the_stages_that_a_change_affects(
    source: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    shown = demonstrate(source, tmp_path, lambda clone: None, ("two.size", 2), said.append)
    # `three` keeps its result: what it reads has come out the same.
    assert shown == (["one", "two", "three"], [], ["two"])
    assert (tmp_path / "second" / "three").read_bytes() == (tmp_path / "first" / "three").read_bytes()
    assert any("pushed 7 objects" in line for line in said)


@pytest.mark.parametrize(
    ("ran", "said"),
    [
        ([["a", "b"], ["b"], []], "was to run nothing and ran b"),
        ([["a", "b"], [], ["b"]], "was to run a and what follows, and ran b"),
        ([["a", "b"], [], ["a", "c"]], "was to run a and what follows, and ran a, c"),
    ],
)
def test_a_false_claim_fails(
    ran: list[list[str]], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = iter(ran)
    monkeypatch.setattr(s3_demo, "run", lambda *_: None)
    monkeypatch.setattr(s3_demo, "run_stages", lambda *_: next(runs))
    monkeypatch.setattr(s3_demo, "read_graph", lambda _: {"a": (), "b": ("a",), "c": ()})
    monkeypatch.setattr(s3_demo, "read_dvc_json", lambda *_, root: {"a": ["changed deps"]})
    monkeypatch.setattr(s3_demo, "list_remote", lambda _: {})
    monkeypatch.setattr(s3_demo, "change_setting", lambda *_: None)
    with pytest.raises(UserError, match=said):
        demonstrate(tmp_path, tmp_path, lambda _: None, ("a.b", 1), lambda _: None)


def test_a_setting_is_changed_alone(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("# top\na:\n  b: {c: 1e-5, d: 2}  # unit\n  e: 'x'\n")
    change_setting(params, "a.b.d", 3)
    assert params.read_text() == "# top\na:\n  b: {c: 1e-5, d: 3}  # unit\n  e: 'x'\n"
