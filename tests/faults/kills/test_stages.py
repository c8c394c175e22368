"""Stages and their DVC processes are killed at random, and the run ends as if nothing had happened.

`OFT_FAULT_ROUNDS=30 make test ARGS=tests/faults/kills` kills thirty.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.commands import run_dvc
from flows.reproduce.pages import read_metrics
from tests.flows.conftest import init_repository

from .conftest import ROUNDS
from .processes import find_victims, kill_while_running, read_lock, run_to_the_end, start_run

# Two branches; each stage writes its outs and metrics in many small steps.
STEPS = """
import json, sys, time
name, *sources = sys.argv[1:]
total = sum(map(ord, name)) + sum(int(open(source).read().split()[-1]) for source in sources)
with open(name, "w") as out:
    for step in range(50):
        total = (total * 1103515245 + 12345) % 2**31
        print(total, file=out, flush=True)
        time.sleep(0.01)
with open(f"{name}.json", "w") as metrics:
    json.dump({"total": total}, metrics)
"""
PIPELINE = "stages:\n" + "".join(
    f"  {name}:\n"
    f"    cmd: python steps.py {name} {' '.join(needs)}\n"
    f"    deps: [steps.py{''.join(f', {need}' for need in needs)}]\n"
    f"    outs: [{name}]\n"
    f"    metrics: [{name}.json]\n"
    for name, needs in {
        "data": [], "left": ["data"], "right": ["data"], "report": ["left", "right"],
    }.items()
)  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as DVC leaves it that nobody disturbs."""
    root = init_repository(tmp_path_factory.mktemp("undisturbed"), PIPELINE)
    (root / "steps.py").write_text(STEPS)
    assert run_dvc(["repro"], root=root, log=print).exit_code == 0
    return root


@pytest.fixture
def root(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may kill processes in."""
    return Path(shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True))


@pytest.mark.timeout(3000)
def test_killed_stages_change_nothing(root: Path) -> None:
    lock, metrics = read_lock(root), read_metrics(root)
    rng = random.Random(0)
    num_killed = 0
    while num_killed < ROUNDS:
        forget_results(root)
        process = start_run(root)
        killed = kill_while_running(process, ROUNDS - num_killed, 3.0, rng)
        process.communicate(timeout=600)
        num_killed += len(killed)
        run_to_the_end(root)
        assert read_lock(root) == lock
        assert read_metrics(root) == metrics
    lines: list[str] = []
    assert run_dvc(["repro"], root=root, log=lines.append).exit_code == 0
    assert not any(line.startswith("Running stage") for line in lines)
    print(f"{num_killed} processes killed")


@pytest.mark.timeout(3000)
def test_a_later_run_succeeds_after_a_killed_one(root: Path) -> None:
    """The run itself is killed, its stages go on for a while: the later run waits for them."""
    lock = read_lock(root)
    rng = random.Random(1)
    for _ in range(ROUNDS):
        forget_results(root)
        process = start_run(root)
        while not find_victims(process.pid):
            assert process.poll() is None
        try:
            process.communicate(timeout=rng.uniform(0.0, 6.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        run_to_the_end(root)
        assert read_lock(root) == lock


def forget_results(root: Path) -> None:
    """Let every stage have to run again."""
    (root / "dvc.lock").unlink()
    shutil.rmtree(root / ".dvc" / "cache")
    for name in ("data", "left", "right", "report"):
        (root / name).unlink(missing_ok=True)
        (root / f"{name}.json").unlink(missing_ok=True)
