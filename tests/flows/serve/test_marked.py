from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from flows.serve.marked import MARK, end_marked, end_served, find_marked, kill_marked

# A child in a session of its own, which outlives its parent; both say who they are once they run.
TREE = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True, stdout=sys.stdout)
print("ready", flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def mark() -> str:
    return f"test#{secrets.token_hex(8)}"


@pytest.fixture
def start(mark: str) -> Iterator[Start]:
    """Starts Python code under the test's mark, and waits until it has said ``ready`` some times."""
    started: list[subprocess.Popen[str]] = []

    def begin(code: str, *arguments: str, ready: int = 1) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, MARK: mark},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        for _ in range(ready):
            assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    kill_marked(mark)
    for process in started:
        process.communicate()


def test_a_mark_is_found_through_sessions_and_dead_parents(start: Start, mark: str) -> None:
    parent = start(TREE, STUBBORN, ready=2)
    (child,) = find_marked(mark).keys() - {parent.pid}
    assert find_marked(mark)[child] == parent.pid
    parent.kill()
    parent.wait()
    assert set(find_marked(mark)) == {child}
    assert set(find_marked("test#")) >= {child}
    assert child not in find_marked("other#")


def test_what_ignores_sigterm_is_killed_and_what_is_spared_lives(start: Start, mark: str) -> None:
    spared, stubborn = start(STUBBORN), start(STUBBORN)
    end_marked(mark, 0.2, spare={spared.pid})
    assert stubborn.wait(timeout=10) == -signal.SIGKILL
    assert set(find_marked(mark)) == {spared.pid}


def test_the_topmost_alone_is_asked_to_end(start: Start, mark: str) -> None:
    """The child is not asked: ending it within the grace is the parent's affair."""
    says = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True)); "
    parent = start(TREE, says + "print('ready', flush=True); time.sleep(600)", ready=2)
    end_marked(mark, 0.2)
    assert parent.wait(timeout=10) == -signal.SIGTERM
    assert parent.stdout is not None
    assert parent.stdout.read() == ""
    assert find_marked(mark) == {}


def test_the_worker_is_told_first_and_nothing_is_left(
    start: Start, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drains = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('draining', flush=True)); "
    worker = start(drains + "print('ready', flush=True); time.sleep(600)")
    server, run = start(STUBBORN), start(STUBBORN)
    monkeypatch.setattr("flows.serve.marked.RUN_GRACE_SECONDS", 0.2)
    monkeypatch.setattr("flows.serve.marked.PART_GRACE_SECONDS", 0.2)
    before = time.monotonic()
    end_served(mark, {"server": server.pid, "worker": worker.pid})
    assert time.monotonic() > before + 0.4  # each had its grace
    assert worker.stdout is not None
    assert worker.stdout.read().startswith("draining\n")
    assert [process.wait(timeout=10) for process in (server, run)] == [-signal.SIGKILL] * 2
    assert find_marked(mark) == {}
