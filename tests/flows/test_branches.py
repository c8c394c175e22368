"""Branches side by side: nothing twice, nothing before what it needs, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.branches import name_branch, split
from flows.graph import read_graph
from tests.conftest import ROOT

from .conftest import MakeRepository

TWO_BRANCHES = """
stages:
  base: {cmd: echo base > base, deps: [source.txt], outs: [base]}
  one@a: {cmd: "cat base > a1; echo one@a >> ran.txt", deps: [base], outs: [a1]}
  two@a: {cmd: "LEFT", deps: [a1, base], outs: [a2]}
  one@b: {cmd: "cat base > b1; echo one@b >> ran.txt", deps: [base], outs: [b1]}
  two@b: {cmd: "RIGHT", deps: [b1, base], outs: [b2]}
  report: {cmd: cat a2 b2 > c, deps: [a2, b2], outs: [c]}
"""
PLAIN = {"LEFT": "cat a1 > a2", "RIGHT": "cat b1 > b2"}


def repository(make: MakeRepository, commands: dict[str, str]) -> Path:
    text = TWO_BRANCHES.replace("@", "-")
    for name, command in commands.items():
        text = text.replace(name, command)
    return make(text)


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.branches", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit status and output; a process that hangs is killed and fails the test."""
    try:
        shown, _ = process.communicate(timeout=90)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, shown


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_branches_share_nothing_but_the_trunk() -> None:
    graph = read_graph(ROOT)
    trunk, branches = split(graph)
    assert trunk == ["pretrain", "base"]
    stages = [stage for branch in branches for stage in branch]
    assert sorted([*trunk, *stages, "report"]) == sorted(graph)
    for branch in branches:
        for place, stage in enumerate(branch):
            assert set(graph[stage]) <= {*trunk, *branch[:place]}
    assert [len(branch) for branch in branches] == sorted(map(len, branches), reverse=True)
    assert len({name_branch(branch) for branch in branches}) == len(branches)


def test_all_stages_run_once_and_dvc_has_nothing_left_to_do(make_repository: MakeRepository) -> None:
    root = repository(make_repository, PLAIN)
    status, shown = finish(start(root))
    assert status == 0, shown
    assert (root / "c").read_text() == "base\nbase\n"
    assert sorted((root / "ran.txt").read_text().split()) == ["one-a", "one-b"]
    assert "didn't change" not in shown
    status, shown = finish(start(root))
    assert (status, shown.splitlines()[-1]) == (0, "Data and pipelines are up to date.")
    plain = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=root, capture_output=True, text=True, check=True
    )
    assert "Running stage" not in plain.stdout


def test_branches_really_run_at_the_same_time(make_repository: MakeRepository) -> None:
    """Each waits for the other to have begun; one after the other they would wait until the time is up."""
    meet = (
        "touch here-{0}; for i in $(seq 600); do [ -e here-{1} ] && break; sleep 0.1; done; cat {0}1 > {0}2"
    )
    root = repository(make_repository, {"LEFT": meet.format("a", "b"), "RIGHT": meet.format("b", "a")})
    status, shown = finish(start(root, "--jobs", "2"))
    assert status == 0, shown


def test_a_fault_in_one_branch_lets_the_other_end_and_is_the_exit_status(
    make_repository: MakeRepository,
) -> None:
    wait = "for i in $(seq 600); do [ -e failed ] && break; sleep 0.1; done; cat b1 > b2"
    root = repository(make_repository, {"LEFT": "touch failed; exit 3", "RIGHT": wait})
    status, shown = finish(start(root, "--jobs", "2"))
    assert status != 0
    assert "failed to reproduce" in shown
    assert (root / "b2").read_text() == "base\n"
    assert not (root / "c").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_process(make_repository: MakeRepository, number: signal.Signals) -> None:
    root = repository(make_repository, {**PLAIN, "LEFT": "echo $$ > pid; exec sleep 600"})
    process = start(root)
    wait_for(lambda: (root / "pid").is_file() and (root / "pid").read_text().strip() != "")
    sleeper = int((root / "pid").read_text())
    process.send_signal(number)
    status, _ = finish(process)
    assert status == 128 + number
    wait_for(lambda: not Path(f"/proc/{sleeper}").exists())


def test_outside_a_repository_the_fault_is_named(tmp_path: Path) -> None:
    status, shown = finish(start(tmp_path))
    assert status == 1
    assert "DVC cannot read the pipeline" in shown and "Traceback" not in shown
