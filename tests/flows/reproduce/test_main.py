from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from flows.reproduce.__main__ import app
from tests.flows.conftest import MakeRepository


def test_help_teaches() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "TERM": "dumb"})
    assert shown.exit_code == 0
    for word in ("--pull", "PREFECT_API_URL=", "dvc stage list", "train@"):
        assert word in shown.output


def test_help_does_not_wait_for_prefect_or_dvc() -> None:
    code = "import sys, flows.reproduce; sys.exit(bool({'prefect', 'dvc', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_dry_run_names_what_would_run_and_why_and_makes_nothing(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository()
    monkeypatch.chdir(root)
    before = sorted(path.name for path in root.iterdir())
    shown = CliRunner().invoke(app, ["--dry-run"])
    assert shown.exit_code == 0, shown.output
    *stages, last = shown.output.splitlines()
    assert stages[0].startswith("first: ") and "source.txt (modified)" in stages[0]
    assert last == f"{len(stages)} of {len(stages)} stages would run."
    assert sorted(path.name for path in root.iterdir()) == before
