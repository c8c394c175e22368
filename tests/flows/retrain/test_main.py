from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import server
from flows.git import git
from flows.retrain.__main__ import app
from oft.errors import UserError


def run(*arguments: str) -> tuple[int, str]:
    shown = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120", "TERM": "dumb"})
    return shown.exit_code, shown.output


def test_help_teaches() -> None:
    status, shown = run("--help")
    assert status == 0
    for word in ("--force", "--inbox", "rollback", "history", "status", "watch", "promoted/N"):
        assert word in shown
    for command in ("rollback", "history", "status", "watch"):
        assert run(command, "--help")[0] == 0


def test_help_does_not_wait_for_prefect_or_dvc() -> None:
    code = "import sys, flows.retrain; sys.exit(bool({'prefect', 'dvc', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--inbox", "photos"), "must be DATASET=FOLDER"),
        (("--source", "nowhere", "history"), "must be a git repository"),
        (("--branch", "a..b", "status"), "a name that git allows"),
    ],
)
def test_a_user_error_is_one_message(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet", root=tmp_path)
    monkeypatch.chdir(tmp_path)
    status, shown = run(*arguments)
    assert status == 1
    assert message in shown and "Traceback" not in shown
    assert not (tmp_path / ".retrain").exists()


@pytest.mark.parametrize("command", [(), ("watch",)])
def test_a_server_starts_before_prefect_is_imported(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_server(_prepare: Callable[[], object]) -> None:
        raise UserError("the server did not start")

    git("init", "--quiet", root=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(server, "ensure_server", no_server)
    monkeypatch.setitem(sys.modules, "flows.retrain.flow", None)  # importing it fails
    assert run(*command) == (1, "the server did not start\n")
    assert not (tmp_path / ".retrain").exists()


def test_before_the_first_retraining_there_is_no_history_and_nothing_to_return_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet", root=tmp_path)
    git("commit", "--quiet", "--allow-empty", "--message", "Start", root=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run("history") == (0, "Nothing was decided yet.\n")
    status, shown = run("rollback")
    assert status == 1 and "nothing is promoted yet" in shown
