"""Stages as processes of their own, in a folder of the test's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PATIENCE_SECONDS = 300.0
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to start stages in; its servers leave when it is gone."""
    yield tmp_path
    shutil.rmtree(tmp_path / ".warm", ignore_errors=True)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start ``python -m job ARGUMENTS`` in the folder, warm unless told otherwise, its output caught."""
    started: list[subprocess.Popen[str]] = []

    def start_job(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",  # a job written anew within a second may be as long as before
            "OFT_WARM": "1",
            "OFT_WARM_LIBRARIES": "json colorsys",
            **variables,
        }
        job = subprocess.Popen(
            [sys.executable, "-m", "job", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(job)
        return job

    yield start_job
    for job in started:
        job.kill()
        job.communicate()


def finish(job: subprocess.Popen[str], text: str = "") -> tuple[int, str, str]:
    """Return status, output and error output of a job that is given ``text`` to read."""
    output, errors = job.communicate(text, timeout=PATIENCE_SECONDS)
    return job.returncode, output, errors


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Return once ``condition`` holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def read_number(job: subprocess.Popen[str]) -> int:
    """Return the number in the next line a job prints."""
    assert job.stdout is not None
    return int(job.stdout.readline())
