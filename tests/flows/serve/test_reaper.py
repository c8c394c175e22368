from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

from flows.serve.marked import MARK, find_marked, kill_marked
from flows.serve.reaper import read_pids

ROOT = Path(__file__).parents[3]
SERVES = """
import os, sys, time
from pathlib import Path
from flows.serve.supervised import Reaper, SupervisedProcess
mark, folder = sys.argv[1:]
reaper = Reaper(Path.cwd(), mark)
sleeper = ["http.server", "0", "--bind", "127.0.0.1"]
process = SupervisedProcess("worker", sleeper, Path.cwd(), {**os.environ, "MARK": mark}, Path(folder))
reaper.start(process)
print("started", flush=True)
while True:
    reaper.ensure_running()
    time.sleep(0.05)
"""


def test_a_later_process_replaces_an_earlier_one_of_its_name() -> None:
    assert read_pids(["server 1\n", "worker 2\n", "server 3\n"]) == {"server": 3, "worker": 2}


def test_kill_9_of_the_supervisor_ends_its_processes_even_after_the_reaper_was_killed(tmp_path: Path) -> None:
    mark = f"test#{secrets.token_hex(8)}"
    code = SERVES.replace('"MARK"', repr(MARK))
    serving = subprocess.Popen(
        [sys.executable, "-c", code, mark, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline() == "started\n"
        first = reaper_of(mark)
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while reaper_of(mark) in (0, first) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(find_marked(mark)) == 1
        serving.kill()
        while find_marked(mark) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert find_marked(mark) == {}
    finally:
        serving.kill()
        kill_marked(mark)
        serving.communicate()


def reaper_of(mark: str) -> int:
    """The reaper's process for ``mark``, 0 if there is none."""
    found = subprocess.run(
        ["pgrep", "--full", f"flows.serve.reaper {mark}"], capture_output=True, text=True, check=False
    )
    return int(found.stdout.split()[0]) if found.stdout else 0
