from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.serve.__main__ import app, describe_served, only_one


def test_help_teaches() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "TERM": "dumb"})
    assert shown.exit_code == 0
    for word in ("--port", "Ctrl-C", "PREFECT_SERVER_DATABASE_CONNECTION_URL", "docs/serving.md"):
        assert word in shown.output


@pytest.mark.parametrize("module", ["flows.serve", "flows.deploy", "flows.serve.reaper"])
def test_nothing_heavy_is_imported_for_a_help_page(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'prefect', 'dvc', 'torch'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_elsewhere_than_in_a_clone_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, [])
    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"prefect.yaml is not in {tmp_path}: run this in the root of a clone.")
    assert list(tmp_path.iterdir()) == []


def test_the_record_with_the_password_is_its_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with only_one(tmp_path) as record:
        assert record.stat().st_mode & 0o777 == 0o600


def test_a_second_serve_is_told_of_the_first_even_while_that_starts() -> None:
    record = '{"pid": 7, "ui": "http://127.0.0.1:4200", "auth": "oft:pl4nted"}'
    assert "at http://127.0.0.1:4200, by process 7" in describe_served(record)
    assert "pl4nted" not in describe_served(record)
    assert "just starting" in describe_served("")
