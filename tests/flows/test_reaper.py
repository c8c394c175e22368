from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from flows.reaper import read_groups
from tests.conftest import ROOT
from tests.processes import is_running

CALLER = """
import sys
from pathlib import Path
from flows.process import run_command
run_command(["true"], root=Path.cwd(), log=print)
run_command([sys.executable, "-c", sys.argv[1]], root=Path.cwd(), log=lambda line: print(line, flush=True))
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_what_has_ended_is_left_alone() -> None:
    assert read_groups([]) == set()
    assert read_groups(["+1\n", "+2\n", "-1\n", "+3\n"]) == {2, 3}
    assert read_groups(["+1\n", "-1\n", "+1\n"]) == {1}  # the number was given again


def test_a_command_ends_with_its_caller_however_that_ends(tmp_path: Path) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM):
        caller = subprocess.Popen(
            [sys.executable, "-c", CALLER, STUBBORN],
            cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert caller.stdout is not None
        command = int(caller.stdout.readline())
        assert is_running(command)
        caller.send_signal(number)
        caller.communicate()
        deadline = time.monotonic() + 60
        while is_running(command):
            assert time.monotonic() < deadline
            time.sleep(0.02)
