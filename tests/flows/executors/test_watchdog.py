"""Whatever ends the caller ends the command, and nobody is let into its worktree before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.executors.pythonpath import with_pythonpath
from flows.executors.watchdog import reserve_worktree, watchdog_command
from flows.process import run_command
from tests.flows.executors.conftest import wait_for
from tests.processes import is_running

CALLER = """
import subprocess, sys
from pathlib import Path
from flows.executors.watchdog import watchdog_command
first = subprocess.Popen(watchdog_command(Path(sys.argv[1]), sys.argv[2:]))
print(first.pid, flush=True)
first.wait()
"""
STUBBORN = "trap '' TERM; echo $$ > pid; sh -c 'trap \"\" TERM; echo $$ > child; sleep 600; true'; true"


def is_free(folder: Path) -> bool:
    with reserve_worktree(folder) as worktree:
        return worktree.name == "worktree-0"


def test_the_command_runs_in_a_worktree_and_its_exit_status_is_returned(tmp_path: Path) -> None:
    for script, status in (("pwd; exit 3", 3), ("kill -9 $$", 128 + signal.SIGKILL)):
        lines: list[str] = []
        finished = run_command(
            watchdog_command(tmp_path, ["sh", "-c", script]),
            root=tmp_path,
            log=lines.append,
            environment=with_pythonpath(os.environ),
        )
        assert finished.exit_code == status
        assert lines in ([str(tmp_path / "worktree-0")], [])
    assert is_free(tmp_path)


@pytest.mark.parametrize("victim", ["caller", "first"])
def test_nothing_outlives_the_caller_even_if_it_is_killed(tmp_path: Path, victim: str) -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(tmp_path), "sh", "-c", STUBBORN],
        env=with_pythonpath(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    )
    worktree = tmp_path / "worktree-0"
    with caller:
        assert caller.stdout is not None
        first = int(caller.stdout.readline())
        wait_for(lambda: (worktree / "child").exists() and (worktree / "child").read_text() != "", 60)
        pids = [int((worktree / name).read_text()) for name in ("pid", "child")]
        assert not is_free(tmp_path)
        os.kill(caller.pid if victim == "caller" else first, signal.SIGKILL)
        wait_for(lambda: not any(is_running(pid) for pid in pids), 30)
        caller.kill()
    wait_for(lambda: is_free(tmp_path), 30)


def test_a_worktree_is_reserved_by_one_command(tmp_path: Path) -> None:
    with reserve_worktree(tmp_path) as one, reserve_worktree(tmp_path) as other:
        assert one != other
    assert is_free(tmp_path)
