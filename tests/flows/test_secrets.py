"""Secrets of the environment are in nothing that a run prints, logs or leaves behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import LogSort

from flows.commands import run_dvc
from flows.reproduce.flow import reproduce
from tests.conftest import ROOT

from .conftest import MakeRepository

KEY = "PLANTEDwJalrXUtnFEMIK7MDENGbPxRfiCYKEY"
TOKEN = "PLANTEDFwoGZXIvYXdzEBYaDToken"
PASSWORD = "PLANTEDhunter2"
PLANTS = ("PLANTED", KEY, TOKEN, PASSWORD)


@pytest.fixture
def root(make_repository: MakeRepository, s3: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose remote is on S3, in an environment full of secrets."""
    root = make_repository()
    for command in (
        ["remote", "add", "--default", "team", "s3://bucket/dvc"],
        ["remote", "modify", "team", "connect_timeout", "1"],
    ):
        assert run_dvc(command, root=root, log=print).exit_code == 0
    (root / "empty").touch()
    settings = {
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_CONFIG_FILE": str(root / "empty"),
        "AWS_SHARED_CREDENTIALS_FILE": str(root / "empty"),
        "AWS_MAX_ATTEMPTS": "1",
        "PYTHONPATH": str(ROOT),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return root


def with_password(endpoint: str) -> str:
    return endpoint.replace("http://", f"http://user:{PASSWORD}@")


def dead_endpoint() -> str:
    """Return the address of a server that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def run(root: Path, *arguments: str, endpoint: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env={**os.environ, "AWS_ENDPOINT_URL": with_password(endpoint)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def assert_no_secret(text: str) -> None:
    for plant in PLANTS:
        assert plant not in text


def test_nothing_printed_or_left_behind_holds_a_secret(root: Path, s3_endpoint: str) -> None:
    shown = [
        run(root, "flows.reproduce", "--plain", endpoint=s3_endpoint),
        run(root, "flows.share", "push", endpoint=s3_endpoint),
        run(root, "oft.cli", "publish", "c", "s3://bucket/c", endpoint=dead_endpoint()),
        run(root, "oft.cli", "publish", "c", "s3://bucket/c", endpoint="localhost"),
    ]
    assert "Up to date: " in shown[0]
    assert "push failed" in shown[1] and "must hold no user name and no password" in shown[1]
    assert "cannot be read: EndpointConnectionError" in shown[2]
    assert "AWS_ENDPOINT_URL must be the address" in shown[3]
    assert_no_secret("\n".join(shown))
    files = [path for path in root.rglob("*") if path.is_file()]
    assert {"dvc.lock", "config", "c"} <= {path.name for path in files}
    for path in files:
        assert_no_secret(path.read_bytes().decode("latin-1"))


@pytest.mark.usefixtures("prefect_server")
def test_the_logs_of_a_flow_hold_no_secret(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What DVC says of a wrong endpoint has all of it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"user:{PASSWORD}@127.0.0.1")
    assert run_dvc(["repro"], root=root, log=print).exit_code == 0
    assert reproduce(targets=["first"], pull=True, root=root) == {"done": 0, "cached": 1}
    shown = capfd.readouterr()
    logged = wait_for_logs("What could not be fetched is made here.")
    assert "Invalid endpoint: ***@127.0.0.1" in logged
    assert_no_secret(logged + shown.out + shown.err)


def wait_for_logs(word: str) -> str:
    """Return the messages that Prefect has kept, once one of them has ``word``: they arrive a bit later."""
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            messages = "\n".join(
                log.message for log in client.read_logs(limit=200, sort=LogSort.TIMESTAMP_DESC)
            )
            if word in messages:
                return messages
            assert time.monotonic() < deadline, messages
            time.sleep(0.2)
