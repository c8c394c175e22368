"""A served clone in which a schedule fires, a run is cancelled, and every part is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from flows.commands import read_dvc_json
from tests.processes import is_running

from .served import Served, make_pipeline, wait_until

ROUNDS = int(os.environ.get("OFT_FAULT_ROUNDS", "2"))

SERVER = "flows.serve.application"
SHORT = {"only": {"cmd": "echo only >> ran.txt && echo 1 > out", "outs": ["out"]}}
# Its first stage ends when the test says so, whatever happens to the server meanwhile.
GATED = {
    "first": {
        "cmd": "echo first >> ran.txt && until [ -e go ]; do sleep 0.1; done && echo one > a",
        "outs": ["a"],
    },
    "second": {"cmd": "echo second >> ran.txt && cat a > b", "deps": ["a"], "outs": ["b"]},
}
STUBBORN = {"only": {"cmd": "python stubborn.py", "deps": ["stubborn.py"], "outs": ["never"]}}
STUBBORN_PY = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("started", "w").close()
time.sleep(600)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One clone, served while the tests of this file need it."""
    clone = Served(tmp_path_factory.mktemp("clone").resolve())
    try:
        clone.start()
        yield clone
    finally:
        clone.end()


def test_a_second_serve_says_where_the_first_one_serves(served: Served) -> None:
    second = subprocess.run(
        served.command(), cwd=served.root, env=served.environment, capture_output=True, text=True, check=False
    )
    assert second.returncode == 0
    assert (
        f"served already at {served.api.removesuffix('/api')}, by process {served.process.pid}"
        in second.stdout
    )


def test_nobody_else_starts_a_run(served: Served) -> None:
    """Without the password, under another name, from another site's page, or with a command of one's own."""
    deployment = served.ask("GET", "deployments/name/reproduce/pipeline")
    url = f"{served.api}/deployments/{deployment['id']}/create_flow_run"

    def status(session: requests.Session, body: dict[str, Any], **headers: str) -> int:
        return session.post(url, data=json.dumps(body), headers=headers, timeout=20).status_code

    found = requests.get(f"{served.api}/deployments/name/reproduce/pipeline", timeout=20)
    assert found.status_code == 401
    before = served.ask("POST", "flow_runs/count")
    own = {name: str(value) for name, value in served.session.headers.items() if "Csrf" in name}
    assert status(requests.Session(), {}, **own) == 401
    assert status(served.session, {}, Host="evil.example") == 400
    assert status(served.session, {}, Origin="http://evil.example") == 403
    with requests.Session() as without_token:
        without_token.auth = served.session.auth
        assert status(without_token, {}) == 403
    assert status(served.session, {"job_variables": {"command": "touch planted"}}) == 422
    assert served.ask("POST", "flow_runs/count") == before


def test_a_schedule_is_off_and_fires_by_itself_once_it_is_switched_on(served: Served) -> None:
    root = make_pipeline(served.root / "scheduled", SHORT)
    deployment = served.ask("GET", "deployments/name/reproduce/nightly")
    (schedule,) = deployment["schedules"]
    assert not schedule["active"]
    path = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    served.ask("PATCH", path, active=True, schedule={"interval": 20})
    wait_until(lambda: "COMPLETED" in [run["state"]["type"] for run in scheduled(served, deployment)])
    assert stages_run(root) == ["only"]
    assert "SCHEDULED" in [run["state"]["type"] for run in scheduled(served, deployment)]  # the next
    served.ask("PATCH", path, active=False)
    for run in scheduled(served, deployment):
        if run["state"]["type"] == "SCHEDULED":
            served.ask("DELETE", f"flow_runs/{run['id']}")
    wait_until(lambda: {run["state"]["type"] for run in scheduled(served, deployment)} == {"COMPLETED"})


def test_a_cancelled_run_leaves_no_process(served: Served) -> None:
    run, engine = start_stubborn(served, "cancelled")
    before = served.processes()
    served.ask("POST", f"flow_runs/{run}/set_state", state={"type": "CANCELLING"})
    wait_until(lambda: not is_running(engine))
    # The stage ignores SIGTERM, so its grace is over before the run's own process ends.
    wait_until(lambda: served.processes() <= parts(served), seconds=2)
    assert len(before - parts(served)) >= 3  # the run, DVC and the stage
    served.wait_for(run, "CANCELLED")


def test_runs_outlive_a_killed_server(served: Served) -> None:
    """One by the worker, one from the command line: right results, states reported, the queue goes on."""
    by_worker = make_pipeline(served.root / "by_worker", GATED)
    by_hand = make_pipeline(served.root / "by_hand", GATED)
    run = served.run("reproduce/pipeline", root=str(by_worker))
    queued = served.run("reproduce/pipeline", root=str(by_worker))
    with flow_by_hand(served, by_hand) as process:
        wait_until(lambda: stages_run(by_worker) and stages_run(by_hand))
        for _ in range(ROUNDS // 2):
            kill_part(served, SERVER)
            served.ask("GET", "health")
        kill_part(served, SERVER)
        for root in (by_worker, by_hand):
            (root / "go").touch()
        served.wait_for(run, "COMPLETED")
        served.wait_for(queued, "COMPLETED")
        wait_until(lambda: process.poll() is not None)
        assert process.returncode == 0, (served.root / "by_hand.log").read_text()

    for root in (by_worker, by_hand):
        assert stages_run(root) == ["first", "second"]
        assert (root / "b").read_text() == "one\n"
        assert read_dvc_json(["status"], root=root) == {}
    found = served.ask("POST", "flow_runs/filter", sort="START_TIME_DESC")
    assert [item["state"]["type"] for item in found if not item["deployment_id"]] == ["COMPLETED"]


def test_a_killed_worker_takes_its_runs_along_and_its_successor_works(served: Served) -> None:
    for number in range(ROUNDS // 2):
        run, _ = start_stubborn(served, f"abandoned-{number}")
        kill_part(served, "prefect worker start")
        wait_until(lambda: served.processes() == parts(served))
        served.wait_for(run, "CRASHED")
    served.wait_for(
        served.run("reproduce/pipeline", root=str(make_pipeline(served.root / "after", SHORT))), "COMPLETED"
    )


def test_nothing_outlives_the_killed_command(served: Served) -> None:
    start_stubborn(served, "last")
    assert len(served.processes()) >= 5  # server, worker, run, DVC and the stage
    served.process.kill()
    served.process.wait()
    wait_until(lambda: not served.processes())


def start_stubborn(served: Served, name: str) -> tuple[str, int]:
    """Start a run whose stage ignores SIGTERM; return the run's id and its process once the stage runs."""
    root = make_pipeline(served.root / name, STUBBORN)
    (root / "stubborn.py").write_text(STUBBORN_PY)
    run = served.run("reproduce/pipeline", root=str(root))
    wait_until((root / "started").exists)
    (engine,) = served.processes("prefect.engine")
    return run, engine


def parts(served: Served) -> set[int]:
    """The processes that are there while no flow runs."""
    return served.processes(SERVER) | served.processes("prefect worker start")


def kill_part(served: Served, command: str) -> None:
    """Kill -9 the part with this command, and wait until another one has its place."""
    (old,) = served.processes(command)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: served.processes(command) - {old})


@contextmanager
def flow_by_hand(served: Served, root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A flow from the command line that reports to the served server; ended with the block."""
    environment = served.environment | {"PREFECT_API_URL": served.api, "PREFECT_CLIENT_MAX_RETRIES": "8"}
    with (served.root / "by_hand.log").open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.reproduce"],
            cwd=root,
            env=environment,
            stdout=lines,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        process.kill()  # after a failure it may still be asking for a server that is gone
        process.wait()


def scheduled(served: Served, deployment: Any) -> list[Any]:
    """The runs that the scheduler has made for a deployment."""
    runs = served.ask("POST", "flow_runs/filter", deployments={"id": {"any_": [deployment["id"]]}})
    return [run for run in runs if run["auto_scheduled"]]


def stages_run(root: Path) -> list[str]:
    """The stages that really ran in ``root``, in order."""
    log = root / "ran.txt"
    return log.read_text().split() if log.exists() else []
