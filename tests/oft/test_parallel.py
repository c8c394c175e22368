from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oft.errors import WorkerError
from oft.parallel import CHUNK_ITEMS, CHUNKS_AHEAD, WORKERS, num_workers, parallel_map
from tests.conftest import ROOT
from tests.processes import is_running


def run_script(body: str, *, workers: int, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a script that may share its work, in a process of its own as stages are: there fork is safe."""
    head = "import os, sys, time\nfrom pathlib import Path\nfrom oft.parallel import parallel_map\n"
    code = head + textwrap.dedent(body)
    environment = {**os.environ, WORKERS: str(workers), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=timeout
    )


def test_results_come_in_order_from_as_many_processes_as_there_are_workers() -> None:
    done = run_script(
        """
        def square(number):
            time.sleep(0.01 if number % 7 == 0 else 0)
            return number * number, os.getpid()
        found = list(parallel_map(square, range(200), "stage"))
        assert [value for value, _ in found] == [number * number for number in range(200)]
        processes = {pid for _, pid in found}
        assert len(processes) == 3 and os.getpid() not in processes, processes
        """,
        workers=3,
    )
    assert done.returncode == 0, done.stderr


def test_items_are_drawn_no_further_ahead_than_the_window() -> None:
    done = run_script(
        f"""
        drawn = []
        def items():
            for number in range(1000):
                drawn.append(number)
                yield number
        for place, _ in enumerate(parallel_map(abs, items(), "stage")):
            assert len(drawn) <= place + 2 * {CHUNK_ITEMS * (CHUNKS_AHEAD + 1)}, (place, len(drawn))
        assert len(drawn) == 1000
        """,
        workers=2,
    )
    assert done.returncode == 0, done.stderr


def test_one_worker_is_this_process_and_takes_one_item_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKERS, "1")
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    results = parallel_map(lambda number: (number, os.getpid()), items(), "stage")
    assert next(results) == (0, os.getpid()) and len(drawn) <= CHUNK_ITEMS
    assert list(results) == [(number, os.getpid()) for number in range(1, 100)]


@pytest.mark.parametrize(("workers", "imported"), [(1, "json"), (2, "json"), (2, "cv2")])
def test_an_error_keeps_its_type_and_message(workers: int, imported: str) -> None:
    """Two workers are forked, or spawned where a library with threads of its own has been imported."""
    done = run_script(
        f"""
        import {imported}
        from oft.pictures import PictureError, load_picture
        try:
            list(parallel_map(load_picture, [Path("nowhere.jpg")] * 20, "stage"))
        except PictureError as error:
            assert (error.reason, error.name) == ("missing", "nowhere.jpg")
            sys.exit(str(error))
        """,
        workers=workers,
    )
    assert done.returncode == 1 and done.stderr.startswith("nowhere.jpg: missing"), done.stderr


def test_a_killed_worker_is_an_error_with_stage_and_remedy() -> None:
    done = run_script(
        """
        from oft.errors import WorkerError
        def work(number):
            if number == 50:
                os.kill(os.getpid(), 9)
            return number
        try:
            list(parallel_map(work, range(100), "extract"))
        except WorkerError as error:
            sys.exit(str(error))
        """,
        workers=2,
    )
    assert done.returncode == 1
    assert "extract: one of its 2 processes died" in done.stderr and f"{WORKERS}=1" in done.stderr


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "work.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, time
            from pathlib import Path
            from oft.parallel import parallel_map
            def work(number):
                Path(sys.argv[1], str(os.getpid())).touch()
                time.sleep(0.05)
                return number
            if __name__ == "__main__":
                for _ in parallel_map(work, range(100_000), "stage"):
                    pass
            """
        )
    )
    marks = tmp_path / "marks"
    marks.mkdir()
    environment = {**os.environ, WORKERS: "2", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(script), str(marks)], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while len(list(marks.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = [int(mark.name) for mark in marks.iterdir()]
    assert len(workers) == 2
    process.send_signal(number)
    assert process.wait(timeout=20) == -number
    while any(is_running(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_running(pid) for pid in workers)


def test_the_number_of_workers_is_the_environment_s_or_the_usable_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(WORKERS, "5")
    assert num_workers() == 5
    monkeypatch.delenv(WORKERS)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 4}, raising=False)
    assert num_workers() == 3


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", ""])
def test_other_numbers_of_workers_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(WORKERS, value)
    with pytest.raises(WorkerError, match="OFT_WORKERS must be a whole number of 1 or more"):
        num_workers()
