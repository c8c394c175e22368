from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.serve.parts import RESTARTS, RESTARTS_WITHIN_SECONDS, Part


def test_lines_of_every_start_are_kept_and_told_with_the_end(tmp_path: Path) -> None:
    part = Part("server", ["nothing_of_this_name"], tmp_path, os.environ, tmp_path / "logs")
    for _ in range(2):
        part.start()
        while part.exit_code() is None:
            pass
    finished = part.finished()
    assert finished.exit_code == 1
    assert [line.rpartition(": ")[2] for line in finished.tail] == [
        "No module named nothing_of_this_name"
    ] * 2


def test_a_part_is_started_again_until_it_dies_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("flows.serve.parts.time.monotonic", lambda: now)
    part = Part("server", ["nothing_of_this_name"], tmp_path, os.environ, tmp_path)
    for _ in range(RESTARTS + 1):
        assert part.may_start_again()
        part.start()
        while part.exit_code() is None:
            pass
    assert not part.may_start_again()
    now = RESTARTS_WITHIN_SECONDS + 1
    assert part.may_start_again()
