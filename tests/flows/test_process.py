from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from flows.process import TAIL_LINES, run_command, user_errors
from oft.errors import UserError
from tests.conftest import ROOT
from tests.processes import is_running

GRANDCHILD = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "{body}"])
print(os.getpid(), child.pid, flush=True)
child.wait()
"""
SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


class Cancelled(BaseException):
    """Stands for Ctrl-C, Prefect's termination signal, a cancelled task."""


def test_lines_arrive_as_they_are_printed_and_the_last_are_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    count = TAIL_LINES + 5
    finished = run_command(["seq", str(count)], root=tmp_path, log=lines.append)
    assert finished.exit_code == 0
    assert lines == [str(number) for number in range(1, count + 1)]
    assert finished.tail == tuple(lines[-TAIL_LINES:])


def test_a_line_is_logged_before_the_command_ends(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo ready; while [ ! -e '{gate}' ]; do sleep 0.01; done; echo passed"
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        gate.touch()

    assert run_command(["sh", "-c", script], root=tmp_path, log=log).exit_code == 0
    assert lines == ["ready", "passed"]


def test_both_streams_the_folder_the_environment_and_the_exit_code(tmp_path: Path) -> None:
    script = 'pwd; echo "$GREETING" >&2; exit 3'
    environment = {"PATH": os.environ["PATH"], "GREETING": "hello"}
    finished = run_command(["sh", "-c", script], root=tmp_path, log=lambda _: None, environment=environment)
    assert finished == (3, (str(tmp_path), "hello"))


def test_a_killed_command_reports_its_signal(tmp_path: Path) -> None:
    finished = run_command(["sh", "-c", "kill -9 $$"], root=tmp_path, log=lambda _: None)
    assert finished.exit_code == -signal.SIGKILL


@pytest.mark.parametrize("body", [SLEEP, STUBBORN], ids=["obedient", "ignores-sigterm"])
def test_nothing_outlives_a_cancelled_wait(tmp_path: Path, body: str) -> None:
    started: list[int] = []

    def cancel(line: str) -> None:
        started.extend(int(pid) for pid in line.split())
        raise Cancelled

    with pytest.raises(Cancelled):
        run_command([sys.executable, "-c", GRANDCHILD.format(body=body)], root=tmp_path, log=cancel)
    assert len(started) == 2
    assert wait_until(lambda: not any(is_running(pid) for pid in started), seconds=2)


def test_the_first_signal_alone_interrupts_so_that_a_second_one_leaves_the_cleanup_whole() -> None:
    code = """
import os, signal, subprocess, sys
from flows.process import exit_on_signals
exit_on_signals()
try:
    os.kill(os.getpid(), signal.SIGTERM)
finally:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)
    print(subprocess.run(["sh", "-c", "kill -TERM $$"]).returncode, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, f"{-signal.SIGTERM}\n"), done.stderr


def test_a_users_mistake_is_told_without_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, user_errors():
        raise UserError("no server at http://me:pl4nted@host:4200/api; start one")
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "no server at http://***@host:4200/api; start one\n"


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
