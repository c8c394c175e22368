"""A Ray cluster of two nodes on this machine, each with a loopback address and a core of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

HEAD, WORKER = "127.0.0.2", "127.0.0.3"


@dataclass(frozen=True)
class Node:
    """One node: what ``ray start --block`` started, and the folder its stages run in."""

    address: str
    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def await_start(self) -> None:
        """Wait until it has joined the cluster."""
        wait_for(lambda: "Ray runtime started" in self.log.read_text(), 120, self.log.read_text)

    def kill(self) -> None:
        """End all of its own processes at once, as a machine that fails does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it in order, and whatever is left of its group."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass(frozen=True)
class Cluster:
    """Two nodes and the environment in which a run finds them."""

    nodes: Mapping[str, Node]
    environment: Mapping[str, str]


def wait_for(condition: Callable[[], bool], seconds: float, explain: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.02)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    import boto3

    credentials = {"aws_access_key_id": "planted-key", "aws_secret_access_key": "planted-secret"}
    boto3.session.Session(**credentials).client(
        "s3", endpoint_url=s3_endpoint, region_name="us-east-1"
    ).create_bucket(Bucket="results")
    state = Path(tempfile.mkdtemp(prefix="ray-"))  # sockets lie below: pytest's own folders are too deep
    nothing = state / "nothing"
    nothing.touch()
    token = state / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))}
    environment = {
        **inherited,
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "planted-key",
        "AWS_SECRET_ACCESS_KEY": "planted-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(nothing),
        "AWS_SHARED_CREDENTIALS_FILE": str(nothing),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_health_check_period_ms": "1000",  # a lost node is missed after 5 seconds, not 15
    }
    if sys.dont_write_bytecode:  # each of some thirty processes would compile Ray and DVC anew
        environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(state / "bytecode")}
    nodes: dict[str, Node] = {}

    def start(address: str, *arguments: str) -> None:
        folder, log = tmp_path_factory.mktemp(f"node-{address}"), state / f"{address}.log"
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats",
            "--node-ip-address", address, "--num-cpus", "1", "--object-store-memory", "100000000",
            "--dashboard-agent-listen-port", "0", *arguments,
        ]  # fmt: skip
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                env={**environment, "OFT_RAY_FOLDER": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        nodes[address] = Node(address, process, folder, log)

    try:
        start(
            HEAD, "--head", "--port", port, "--ray-client-server-port", free_port(),
            "--include-dashboard", "false", "--temp-dir", str(state / "r"),
        )  # fmt: skip
        nodes[HEAD].await_start()
        start(WORKER, "--address", f"{HEAD}:{port}")
        nodes[WORKER].await_start()
        yield Cluster(nodes, {**environment, "OFT_EXECUTOR": "ray", "RAY_ADDRESS": f"{HEAD}:{port}"})
    finally:
        for node in reversed(nodes.values()):
            node.stop()
        shutil.rmtree(state, ignore_errors=True)
