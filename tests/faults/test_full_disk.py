"""DVC's cache on a disk that is full: it is named, nothing made is lost, and with room the run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

from .team import make_repository

STAGES = """
stages:
  small: {cmd: "echo small >> ran.txt; echo 1 > small", deps: [source.txt], outs: [small]}
  big: {cmd: "echo big >> ran.txt; seq 1 400000 > big; cat small >> big", deps: [small], outs: [big]}
"""
# In a mount namespace of its own, which needs no rights: the disk is there for this script alone.
SCRIPT = """
set -e
mount -t tmpfs -o size=1m none .dvc/cache
"$0" -m flows.reproduce --plain && exit 9
cp -r .dvc/cache/files found
mount -o remount,size=20m .dvc/cache
"$0" -m flows.reproduce --plain
"$0" -m dvc status
"""
NAMESPACE = ["unshare", "--map-root-user", "--mount"]


@pytest.fixture
def namespace(tmp_path: Path) -> list[str]:
    try:
        command = [*NAMESPACE, "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare")
    if tried.returncode:
        pytest.skip(f"needs a mount namespace, which this machine refuses: {tried.stderr.strip()}")
    return NAMESPACE


def test_a_full_disk_is_named_and_nothing_made_is_lost(namespace: list[str], tmp_path: Path) -> None:
    whole = make_repository(tmp_path / "whole", STAGES)
    root = make_repository(tmp_path / "full", "stages: {}\n")
    (root / "dvc.yaml").write_text(STAGES)
    (root / ".dvc" / "cache").mkdir(exist_ok=True)
    done = subprocess.run(
        [*namespace, "sh", "-c", SCRIPT, sys.executable],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"the disk at {root / '.dvc' / 'cache'} is full (0.0 MB free)" in done.stderr
    assert "Make room" in done.stderr and "run again" in done.stderr and "Traceback" not in done.stderr
    # What was made before stayed in the cache and was not made again.
    assert (root / "found" / "md5" / "b0" / "26324c6904b2a9cb4b88d6d61c81d1").read_text() == "1\n"
    assert (root / "ran.txt").read_text().split() == ["small", "big", "big"]
    assert "Data and pipelines are up to date." in done.stdout.splitlines()[-1]
    assert (root / "dvc.lock").read_bytes() == (whole / "dvc.lock").read_bytes()
