from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.serve.supervised import RESTARTS, RESTARTS_WITHIN_SECONDS, SupervisedProcess


def test_the_log_keeps_the_lines_of_every_start(tmp_path: Path) -> None:
    process = SupervisedProcess("server", ["nothing_of_this_name"], tmp_path, os.environ, tmp_path / "logs")
    for _ in range(2):
        process.start()
        while process.exit_code() is None:
            pass
    finished = process.finished()
    assert finished.exit_code == 1
    assert [line.rpartition(": ")[2] for line in finished.tail] == [
        "No module named nothing_of_this_name"
    ] * 2


def test_a_process_restarts_until_it_dies_too_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("flows.serve.supervised.time.monotonic", lambda: now)
    process = SupervisedProcess("server", ["nothing_of_this_name"], tmp_path, os.environ, tmp_path)
    for _ in range(RESTARTS + 1):
        assert process.may_restart()
        process.start()
        while process.exit_code() is None:
            pass
    assert not process.may_restart()
    now = RESTARTS_WITHIN_SECONDS + 1
    assert process.may_restart()
