"""Sharing results: each fault of the set-up says what to do, before or after DVC has tried."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.commands import run_dvc
from flows.share import app, describe_faults

from .conftest import MakeRepository

VERBS = ("push", "pull")


def share(*arguments: str) -> tuple[int, str]:
    shown = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120", "TERM": "dumb"})
    return shown.exit_code, shown.output


def test_help_teaches_and_does_not_wait_for_dvc() -> None:
    status, shown = share("push", "--help")
    assert status == 0 and "run it again to go on" in shown and "--remote" in shown
    code = "import sys, flows.share; sys.exit(bool({'prefect', 'dvc', 'torch', 'boto3'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_remote_the_setup_is_shown(
    verb: str, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_repository())
    status, shown = share(verb)
    assert status == 1
    for word in ("dvc remote add --default team s3://", "AWS_PROFILE", "AWS_ENDPOINT_URL", "docs/team.md"):
        assert word in shown


def test_a_remote_that_is_not_there_or_not_chosen_is_told_with_those_there_are(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = make_repository()
    run_dvc(["remote", "add", "ours", str(tmp_path / "remote")], root=root, log=print)
    monkeypatch.chdir(root)
    status, shown = share("push")
    assert status == 1 and "`dvc remote default NAME` makes one so" in shown and "there are: ours" in shown
    status, shown = share("push", "--remote", "theirs")
    assert status == 1 and "there is no DVC remote 'theirs'; there are: ours" in shown


def test_outside_a_repository_the_fault_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, shown = share("push")
    assert status == 1 and "DVC cannot read the pipeline" in shown


def test_signal_handlers_are_restored(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    monkeypatch.chdir(make_repository())
    before = signal.getsignal(signal.SIGINT)
    share("push")
    assert signal.getsignal(signal.SIGINT) == before


def test_each_kind_of_fault_is_reported_once_and_missing_outs_by_name() -> None:
    faults = [
        "failed to transfer 'a'\nClientError: (SlowDown) reduce your request rate",
        "failed to transfer 'b'\nClientError: (SlowDown) reduce your request rate",
        "failed to pull\nCheckoutError: Checkout failed for following targets:\nruns/a\nreport\n"
        "Is your cache up to date?",
    ]
    shown = describe_faults("pull", faults)
    assert shown.splitlines()[0] == "pull failed: 2 files were not fetched; nothing that was here is lost."
    assert shown.count("busy or broke off") == 1
    assert "does not hold all of: runs/a, report." in shown


def test_an_unknown_fault_is_shown_in_dvcs_words() -> None:
    shown = describe_faults(
        "push", ["failed to transfer 'a'\nOSError: strange", "failed to push\nOddError: odd"]
    )
    assert shown.splitlines()[1:] == ["  failed to push", "  OddError: odd"]
    assert "strange" in describe_faults("push", ["failed to transfer 'a'\nOSError: strange"])


def test_interrupted_entries_of_the_run_cache_are_a_failure(
    make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """DVC's own push says it succeeded where only entries of the run cache were lost."""
    import logging

    from flows import share as module

    root = make_repository()
    run_dvc(["remote", "add", "--default", "ours", str(tmp_path / "remote")], root=root, log=print)
    monkeypatch.chdir(root)

    def transfer(*_: Any) -> int:
        logging.getLogger("dvc_objects").error("failed to transfer '.dvc/cache/runs/a'")
        return 3

    monkeypatch.setattr(module, "transfer", transfer)
    status, shown = share("push")
    assert status == 1 and "push failed: 1 files were not sent" in shown
