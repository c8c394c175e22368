from __future__ import annotations

import subprocess
import sys

from typer.testing import CliRunner

from flows.reproduce.__main__ import app


def test_help_teaches() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "TERM": "dumb"})
    assert shown.exit_code == 0
    for word in ("--pull", "PREFECT_API_URL=", "dvc stage list", "train@"):
        assert word in shown.output


def test_help_does_not_wait_for_prefect_or_dvc() -> None:
    code = "import sys, flows.reproduce; sys.exit(bool({'prefect', 'dvc', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
