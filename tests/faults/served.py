"""A clone served as ``make serve`` does it, with small pipelines to run, for tests that break things."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import requests

from flows.serve.marked import find_marked, kill_marked
from flows.serve.settings import marks
from oft.storage import dump_yaml, load_yaml

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 300.0  # of tests on a crowded machine; nothing is expected to take so long


class Served:
    """A temporary clone with the repository's code and deployments, and the processes that serve it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = clean_environment() | {
            "PREFECT_HOME": str(root / ".prefect"),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        }
        for name in ("flows", "oft", "pyproject.toml"):
            (root / name).symlink_to(ROOT / name)
        file = load_yaml((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
        named = {item["name"]: item for item in file["deployments"]}
        named["nightly"]["parameters"] = {"root": str(root / "scheduled")}
        file["deployments"] = [named["pipeline"], named["nightly"]]
        (root / "prefect.yaml").write_text(dump_yaml(file), encoding="utf-8")
        self.api = self.auth = ""
        self.session = requests.Session()

    def start(self) -> None:
        """Serve the clone and wait until it is served."""
        with (self.root / "serve.log").open("w") as lines:
            self.process = subprocess.Popen(
                self.command(), cwd=self.root, env=self.environment, stdout=lines, stderr=subprocess.STDOUT
            )
        wait_until(lambda: "lines follow" in self.said() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()
        self.api = self.said().split("PREFECT_API_URL=")[1].split()[0]
        self.auth = self.said().split("PREFECT_API_AUTH_STRING=")[1].split()[0]
        user, _, password = self.auth.partition(":")
        self.session.auth = (user, password)
        client = str(uuid4())
        token = self.ask("GET", f"csrf-token?client={client}")["token"]
        self.session.headers.update({"Prefect-Csrf-Client": client, "Prefect-Csrf-Token": token})

    def end(self) -> None:
        """Leave nothing of it, whatever a test has broken."""
        self.process.kill()
        self.process.wait()
        kill_marked(marks(self.root))

    def command(self) -> list[str]:
        return [sys.executable, "-m", "flows.serve", "--port", "0"]

    def said(self) -> str:
        return (self.root / "serve.log").read_text()

    def processes(self, word: str = "") -> set[int]:
        """Everything served here, or what has ``word`` in its command line."""
        return {pid for pid in find_marked(marks(self.root)) if word in command_line(pid)}

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Prefect's REST API; waits, as its clients do, for a server that is away or has a busy database."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = self.session.request(method, f"{self.api}/{path}", json=body or None, timeout=20)
                if answer.status_code != requests.codes.service_unavailable:
                    break
            except requests.ConnectionError:
                pass
            except requests.Timeout:  # taken by a server that was killed before it answered
                if method != "GET":
                    raise
            assert time.monotonic() < deadline, "the server does not come back"
            time.sleep(0.1)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def run(self, deployment: str, **parameters: Any) -> str:
        """Start a run of a deployment and return its id."""
        found = self.ask("GET", f"deployments/name/{deployment}")
        return str(
            self.ask("POST", f"deployments/{found['id']}/create_flow_run", parameters=parameters)["id"]
        )

    def state(self, run: str) -> str:
        return str(self.ask("GET", f"flow_runs/{run}")["state"]["type"])

    def wait_for(self, run: str, state: str) -> None:
        """Wait until a run is in a state; another final one fails the test."""
        final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
        wait_until(lambda: self.state(run) in final | {state})
        assert self.state(run) == state, self.ask("GET", f"flow_runs/{run}")["state"]["message"]


def make_pipeline(folder: Path, stages: Mapping[str, Any]) -> Path:
    """Make a DVC repository without git with these stages."""
    from dvc.repo import Repo

    folder.mkdir()
    with Repo.init(str(folder), no_scm=True) as repo, repo.config.edit("repo") as config:
        config["core"].update(analytics=False, check_update=False)
    (folder / "dvc.yaml").write_text(dump_yaml({"stages": dict(stages)}), encoding="utf-8")
    return folder


def clean_environment() -> dict[str, str]:
    """This process's environment without Prefect's settings, which are of another server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {"DO_NOT_TRACK": "1", "PYTHONPATH": str(ROOT)}


def command_line(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
