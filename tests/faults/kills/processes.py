"""kill -9 at random: what the tests of killed stages share."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from oft.storage import load_yaml
from tests.conftest import ROOT

RUN_SECONDS = 1200
MARKS = ("repro --single-item", "stages.", "steps.py")
"""In the command lines of what may be killed: DVC's process of a stage, and the stage itself."""


def start_run(root: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``make repro``'s command in a repository."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.reproduce", "--plain", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(ROOT)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_to_the_end(root: Path, *arguments: str) -> str:
    """Run until all is up to date, again where a run has failed, as a person would; return what it said."""
    shown = ""
    for _ in range(5):
        process = start_run(root, *arguments)
        said, _ = process.communicate(timeout=RUN_SECONDS)
        shown += said
        if process.returncode == 0:
            return shown
    raise AssertionError(shown[-4000:])


def kill_while_running(
    process: subprocess.Popen[str], kills: int, longest_wait: float, rng: random.Random
) -> list[str]:
    """Kill -9 random processes of stages at random times while a run goes on; return their commands."""
    killed: list[str] = []
    while process.poll() is None and len(killed) < kills:
        time.sleep(rng.uniform(0.0, longest_wait))
        if victims := find_victims(process.pid):
            victim, command = rng.choice(victims)
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.append(command)
    return killed


def find_victims(pid: int) -> list[tuple[int, str]]:
    """Return the processes of stages below a run, with their command lines."""
    found = []
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for child in children:
        try:
            command = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if any(mark in command for mark in MARKS):
            found.append((child.pid, command))
    return found


def read_lock(root: Path) -> Any:
    """Return what dvc.lock says; the order of stages is that of their ends."""
    return load_yaml((root / "dvc.lock").read_text(encoding="utf-8"))
