"""Whole runs in tiny repositories, each stage a real DVC process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.commands import run_dvc
from flows.reproduce.run import RunOptions, RunResult, bring_up_to_date
from flows.reproduce.run_table import Status
from flows.reproduce.views import SilentView
from flows.reproduce.walk import spawn_threads
from oft.errors import ParamsError
from oft.storage import dump_yaml, load_yaml
from tests.conftest import ROOT
from tests.flows.conftest import MakeRepository
from tests.processes import is_running

FORK = """
stages:
  base: {cmd: echo base > base, deps: [source.txt], outs: [base]}
  left: {cmd: "LEFT", deps: [base], outs: [a]}
  right: {cmd: "RIGHT", deps: [base], outs: [b]}
  report: {cmd: cat a b > c, deps: [a, b], outs: [c]}
"""
LORA = {"method": "peft", "type": "LORA", "r": 8}
PLAIN = {"LEFT": "cat base > a", "RIGHT": "cat base > b"}


def repository(make: MakeRepository, commands: dict[str, str]) -> Path:
    text = FORK
    for name, command in {**PLAIN, **commands}.items():
        text = text.replace(name, command)
    return make(text)


def run(root: Path, targets: list[str] | None = None, said: list[str] | None = None) -> RunResult:
    lines = [] if said is None else said
    with spawn_threads() as spawn:
        return bring_up_to_date(
            root,
            RunOptions(targets, jobs=2, retry_seconds=(0.0, 0.0, 0.0)),
            spawn=spawn,
            view=SilentView(),
            log=lambda stage, line: lines.append(f"{stage}: {line}"),
        )


def stages_dvc_would_run(root: Path) -> list[str]:
    lines: list[str] = []
    assert run_dvc(["repro"], root=root, log=lines.append).exit_code == 0
    return [line for line in lines if line.startswith("Running stage")]


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.reproduce", "--plain", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit status and output; a process that hangs is killed and fails the test."""
    try:
        shown, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, shown


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_makes_everything_and_dvc_has_nothing_left_to_do(make_repository: MakeRepository) -> None:
    root = repository(make_repository, {})
    assert run(root).counts == {"done": 4, "cached": 0}
    assert (root / "c").read_text() == "base\nbase\n"
    assert stages_dvc_would_run(root) == []
    assert run(root).counts == {"done": 0, "cached": 4}


def test_a_stage_whose_inputs_have_not_changed_is_skipped(
    make_repository: MakeRepository,
) -> None:
    root = repository(make_repository, {})
    assert run(root).faults == ()
    text = (root / "dvc.yaml").read_text()
    (root / "dvc.yaml").write_text(text.replace("cat base > a", "cat base > a # said otherwise"))
    said: list[str] = []
    assert run(root, said=said).counts == {"done": 1, "cached": 3}
    assert {line.partition(":")[0] for line in said} == {"left"}
    assert stages_dvc_would_run(root) == []
    (root / "dvc.yaml").write_text(text.replace("cat base > a", "cat base base > a"))
    assert run(root).counts == {"done": 2, "cached": 2}
    assert (root / "c").read_text() == "base\nbase\nbase\n"
    assert stages_dvc_would_run(root) == []


def test_branches_really_run_at_the_same_time(make_repository: MakeRepository) -> None:
    """Each waits for the other to have begun; one after the other they would wait until the time is up."""
    meet = (
        "touch here-{0}; for i in $(seq 600); do [ -e here-{1} ] && break; sleep 0.1; done; "
        "[ -e here-{1} ] && cat base > {0}"
    )
    root = repository(make_repository, {"LEFT": meet.format("a", "b"), "RIGHT": meet.format("b", "a")})
    done = run(root)
    assert done.faults == ()
    rows = {row.stage: row for row in done.table.rows}
    assert rows["left"].began < rows["right"].ended and rows["right"].began < rows["left"].ended  # type: ignore[operator]


def test_every_running_stage_has_a_gpu_of_its_own(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two GPUs, three stages that want one: two at a time, each sees another; the fourth sees none."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    use = (
        "sh -c 'mkdir lock-$CUDA_VISIBLE_DEVICES && sleep 0.5 && rmdir lock-$CUDA_VISIBLE_DEVICES "
        "&& echo $CUDA_VISIBLE_DEVICES > {0}'"
    )
    stages = "".join(
        f'  {name}: {{cmd: "{use.format(name)}", outs: [{name}], meta: {{gpus: 1}}}}\n' for name in "xyz"
    )
    root = make_repository(
        f"stages:\n{stages}  w: {{cmd: 'echo \"[$CUDA_VISIBLE_DEVICES]\" > w', outs: [w]}}\n"
    )
    with spawn_threads() as spawn:
        done = bring_up_to_date(
            root, RunOptions(jobs=4), spawn=spawn, view=SilentView(), log=lambda stage, line: None
        )
    assert done.faults == ()
    assert {(root / name).read_text().strip() for name in "xyz"} == {"GPU-a", "GPU-b"}
    assert (root / "w").read_text() == "[]\n"


def test_the_lockfile_does_not_depend_on_concurrency(make_repository: MakeRepository) -> None:
    root = repository(make_repository, {})
    assert run(root).faults == ()
    side_by_side = load_yaml((root / "dvc.lock").read_text())
    (root / "dvc.lock").unlink()
    assert run_dvc(["repro", "--force"], root=root, log=lambda _: None).exit_code == 0
    assert load_yaml((root / "dvc.lock").read_text()) == side_by_side


def test_a_stage_killed_once_is_retried(make_repository: MakeRepository) -> None:
    root = repository(make_repository, {"LEFT": "[ -e tried ] || { touch tried; kill -9 $$; }; cat base > a"})
    said: list[str] = []
    assert run(root, said=said).counts == {"done": 4, "cached": 0}
    assert any("signal 9 ended it; next attempt" in line for line in said)
    assert stages_dvc_would_run(root) == []


def test_a_failure_lets_the_other_branch_end_and_reports_its_last_lines(
    make_repository: MakeRepository,
) -> None:
    wait = "for i in $(seq 600); do [ -e failed ] && break; sleep 0.1; done; cat base > b"
    root = repository(
        make_repository, {"LEFT": "touch failed; echo tries >> tries; echo the reason; exit 3", "RIGHT": wait}
    )
    done = run(root)
    assert len(done.faults) == 1 and "stage left failed" in done.faults[0] and "the reason" in done.faults[0]
    assert (root / "tries").read_text() == "tries\n"
    assert (root / "b").read_text() == "base\n"
    assert {row.stage: row.status for row in done.table.rows}["report"] is Status.SKIPPED


def test_a_run_waits_for_another_dvc_process_on_the_same_files(make_repository: MakeRepository) -> None:
    slow = "touch begun; for i in $(seq 600); do [ -e go ] && break; sleep 0.1; done; cat base > a"
    root = repository(make_repository, {"LEFT": slow})
    person = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "left"],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for((root / "begun").exists)
    flow = start(root)
    assert flow.stdout is not None
    while "another DVC process works on its files" not in (line := flow.stdout.readline()):
        assert line, "the run ended"
    (root / "go").touch()
    status, shown = finish(flow)
    assert status == 0, shown
    assert person.wait() == 0 and person.communicate()
    assert stages_dvc_would_run(root) == []
    assert (root / "c").read_text() == "base\nbase\n"


def test_two_runs_at_once_do_the_work_once(make_repository: MakeRepository) -> None:
    root = repository(make_repository, {"LEFT": "echo ran >> ran.txt; sleep 1; cat base > a"})
    outcomes = [finish(process) for process in [start(root), start(root)]]
    assert [status for status, _ in outcomes] == [0, 0], outcomes
    assert (root / "ran.txt").read_text() == "ran\n"
    assert any("4 cached" in shown for _, shown in outcomes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_process(make_repository: MakeRepository, number: signal.Signals) -> None:
    stubborn = "trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done"
    root = repository(make_repository, {"LEFT": stubborn})
    process = start(root)
    wait_for(lambda: (root / "pid").is_file() and (root / "pid").read_text().strip() != "")
    stage = int((root / "pid").read_text())
    process.send_signal(number)
    status, _ = finish(process)
    assert status == 128 + number
    assert not is_running(stage)


def test_stages_of_a_killed_run_end_with_it(make_repository: MakeRepository) -> None:
    """Else they would go on beside those of the next run; the grandchild ignores what would be polite."""
    root = repository(make_repository, {"LEFT": "trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done"})
    process = start(root)
    wait_for(lambda: (root / "pid").is_file() and (root / "pid").read_text().strip() != "")
    stage = int((root / "pid").read_text())
    assert is_running(stage)
    process.kill()
    finish(process)
    wait_for(lambda: not is_running(stage))


def test_outside_a_repository_the_fault_is_named(tmp_path: Path) -> None:
    status, shown = finish(start(tmp_path))
    assert status == 1
    assert "is not the root of a DVC repository" in shown and "Traceback" not in shown


def test_below_the_root_the_fault_is_named_and_nothing_made(make_repository: MakeRepository) -> None:
    folder = repository(make_repository, {}) / "docs"
    folder.mkdir()
    status, shown = finish(start(folder))
    assert status == 1 and "is not the root of a DVC repository" in shown
    assert not list(folder.iterdir())


@pytest.mark.parametrize("stage", ["init", "init_subject", "init_style"])
def test_an_adapter_that_cannot_be_made_is_refused_before_its_results_are_removed(
    make_repository: MakeRepository, values: dict[str, Any], stage: str
) -> None:
    entry = "cmd: echo made > out, deps: [source.txt], outs: [out]"
    root = make_repository(f"stages: {{{stage}: {{matrix: {{task: [t], adapter: [x]}}, {entry}}}}}")
    (root / "params.yaml").write_text(dump_yaml({**values, "adapters": {**values["adapters"], "x": LORA}}))
    assert not run(root).faults
    (root / "source.txt").write_text("changed")
    typo = {**values["adapters"], "x": {**LORA, "rank": 8}}
    (root / "params.yaml").write_text(dump_yaml({**values, "adapters": typo}))
    with pytest.raises(ParamsError, match=r"adapters\.x: rank: LORA has no such setting"):
        run(root)
    assert (root / "out").read_text() == "made\n"
