"""Supervise server and worker: start them in order, restart them when they die, end them together."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from flows.commands import describe_failure
from flows.process import run_command
from flows.resources import find_gpus
from flows.serve.log_tail import LogTail
from flows.serve.marked import RUN_GRACE_SECONDS, end_marked, end_served, find_marked
from flows.serve.settings import (
    PREFECT_FILE,
    WORK_POOL,
    Address,
    marks,
    new_mark,
    server_environment,
    worker_environment,
)
from flows.serve.supervised import Reaper, SupervisedProcess
from flows.server import API_URL, CLIENT_AUTH, SERVER_AUTH, is_healthy, state_folder
from oft.errors import UserError

START_SECONDS = 300.0  # on a crowded machine, with a database to be made
LOOK_SECONDS = 0.2


def serve(root: Path, address: Address, password: str, *, limit: int | None = None) -> NoReturn:
    """Start everything, supervise it and show the worker's lines; end all of it on any exception.

    Raises:
        UserError: a process cannot be started, or dies again and again.
    """
    if left := find_marked(marks(root)):
        typer.echo(f"Ending {len(left)} processes that an earlier `make serve` here has left behind.")
        end_marked(marks(root), RUN_GRACE_SECONDS)
    mark = new_mark(root)
    logs = state_folder(root) / "logs"
    for_worker = worker_environment(root, address, password, mark)
    for_server = server_environment(root, address, password, mark)
    server = SupervisedProcess("server", ["flows.serve.application"], root, for_server, logs)
    # Each run counts the GPUs it sees as its own: on a machine with some, one run at a time.
    limit = limit or (1 if find_gpus() else None)
    options = ["--pool", WORK_POOL, "--type", "process", *(["--limit", str(limit)] if limit else [])]
    worker = SupervisedProcess("worker", ["prefect", "worker", "start", *options], root, for_worker, logs)
    reaper = Reaper(root, mark)
    try:
        typer.echo(f"Starting a Prefect server at {address.ui} ...")
        start_server(server, reaper, address)
        typer.echo(f"Bringing the deployments of {PREFECT_FILE} to it ...")
        deployed = run_deploy(root, for_worker)
        reaper.start(worker)
        typer.echo(describe_serving(address, password, deployed, logs))
        supervise(server, worker, reaper, address, mark)
    finally:
        typer.echo("Ending the runs, the worker and the server ...")
        end_served(mark, reaper.pids)
        reaper.close()


def supervise(
    server: SupervisedProcess, worker: SupervisedProcess, reaper: Reaper, address: Address, mark: str
) -> NoReturn:
    """Show the worker's lines, and restart a process that dies.

    Raises:
        UserError: a process dies again and again.
    """
    with worker.log.open(encoding="utf-8", errors="replace") as file:
        log = LogTail(file)
        while True:
            for line in log.new_lines():
                typer.echo(line)
            reaper.ensure_running()
            if server.exit_code() is not None:
                typer.echo(describe_exit(server))
                reaper.start(server)
            if worker.exit_code() is not None and is_healthy(
                address.api
            ):  # without a server it would end at once
                typer.echo(describe_exit(worker))
                # Nobody could cancel its runs any more.
                end_marked(mark, RUN_GRACE_SECONDS, spare={server.pid})
                reaper.start(worker)
            time.sleep(LOOK_SECONDS)


def start_server(server: SupervisedProcess, reaper: Reaper, address: Address) -> None:
    """Start the server and wait until it answers.

    Raises:
        UserError: it has ended, or does not answer in time.
    """
    reaper.start(server)
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(address.api):
        if server.exit_code() is not None:
            raise UserError(describe_failure("The Prefect server", server.finished()))
        if time.monotonic() > deadline:
            raise UserError(f"The Prefect server has not answered in {START_SECONDS:.0f} s; see {server.log}")
        time.sleep(LOOK_SECONDS)


def run_deploy(root: Path, environment: Mapping[str, str]) -> list[str]:
    """Bring the deployments of ``root`` to the server that ``environment`` names, and return their names.

    Raises:
        UserError: Prefect refuses one.
    """
    lines: list[str] = []
    command = [sys.executable, "-m", "flows.deploy"]
    done = run_command(command, root=root, log=lines.append, environment=environment)
    if done.exit_code != 0:
        raise UserError("\n".join(lines))
    return [line.removeprefix("deployed ") for line in lines if line.startswith("deployed ")]


def describe_exit(process: SupervisedProcess) -> str:
    """Describe a process that has ended by itself and is restarted.

    Raises:
        UserError: it has done so too often.
    """
    code = process.exit_code() or 0
    ending = f"signal {-code}" if code < 0 else f"exit code {code}"
    if not process.may_restart():
        raise UserError(
            describe_failure(f"The {process.name}, started again several times,", process.finished())
        )
    return f"The {process.name} has ended with {ending} and is started again; its lines are in {process.log}."


def describe_serving(address: Address, password: str, deployed: Sequence[str], logs: Path) -> str:
    """Describe what to click and to type next; an operator's own password is not repeated."""
    is_own = os.environ.get(SERVER_AUTH) == password
    shown = f'"${SERVER_AUTH}"' if is_own else password
    settings = [f"{API_URL}={address.api}", f"{CLIENT_AUTH}={shown}"]
    names = "\n".join(f"    prefect deployment run {name}" for name in deployed)
    return f"""
Served at {address.ui}, with the password {shown}

  {address.ui}/deployments   "Quick run" starts one; the switch of a schedule turns it on
  {address.ui}/runs          every run with its stages and their lines; "Cancel" ends all it started
  {address.ui}/artifacts     what runs have published, such as the page of metrics

In another terminal, in this folder:

    . .venv/bin/activate; export {" ".join(settings)}
{names}

Results are where `make repro` puts them, report/index.html first. Ctrl-C ends all of it; logs: {logs}
The worker's lines follow.
"""
