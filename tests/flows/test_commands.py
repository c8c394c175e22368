from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flows.commands import describe_changes, describe_failure, dvc_environment, read_repro_action, require_dvc
from flows.process import CommandResult
from oft.errors import UserError


def test_the_repro_action_is_read_from_dvc_output() -> None:
    assert read_repro_action(["Running stage 'train@a':", "> python -m stages.train a", "step 1"]) == "ran"
    assert read_repro_action(["Stage 'train@a' is cached - skipping run, checking out outputs"]) == "restored"
    assert read_repro_action(["Stage 'train@a' didn't change, skipping"]) == "unchanged"
    assert read_repro_action([]) == "unchanged"


def test_a_failure_names_the_command_its_exit_and_its_last_lines() -> None:
    message = describe_failure("stage train", CommandResult(3, ("loss is nan", "stopped")))
    assert message == "stage train failed with exit code 3; its last lines:\n  loss is nan\n  stopped"
    assert "signal 9" in describe_failure("stage train", CommandResult(-9, ()))
    assert "it printed nothing" in describe_failure("stage train", CommandResult(1, ()))


def test_a_failing_dvc_command_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(UserError, match=r"dvc status --json failed with exit code \d+") as failed:
        require_dvc(["status", "--json"], root=tmp_path, log=lines.append)
    assert lines and all(line in str(failed.value) for line in lines)


def test_changes_are_a_line_a_stage() -> None:
    status = {"train": [{"changed outs": {"runs/a": "modified"}}], "report": ["changed command"]}
    assert describe_changes(status).splitlines() == [
        '  train: [{"changed outs": {"runs/a": "modified"}}]',
        '  report: ["changed command"]',
    ]


def test_a_stage_finds_this_interpreter_first() -> None:
    first, *rest = dvc_environment()["PATH"].split(os.pathsep)
    assert Path(first) == Path(sys.executable).parent
    assert rest == os.environ["PATH"].split(os.pathsep)
