"""``python -m flows.serve``: a Prefect server, the deployments of prefect.yaml and a worker, in one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from flows.process import exit_on_signals
from flows.redaction import hide_secrets
from flows.serve.settings import PREFECT_FILE, Address, choose_password, choose_port
from flows.serve.supervision import serve
from flows.server import RECORD, state_folder
from oft.errors import UserError
from oft.storage import try_lock

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the server listens on 127.0.0.1; 0: any free port.")
    ] = 4200,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Runs at a time. Default: no limit but each deployment's own; 1 where there is a GPU."
        ),
    ] = None,
) -> None:
    """Serve this clone: a Prefect server with its pages, the deployments of prefect.yaml, and a worker that
    runs them here. All of it listens on this machine alone and ends with Ctrl-C. The server asks for a
    password, which is new each time and shown once; commands in this clone find it by themselves.

    Schedules are off until somebody switches them on. State and logs are in `.prefect` (or PREFECT_HOME). A
    server or worker that dies is started again: runs go on without the server, and end with their worker.
    Served twice, a clone says where it is served already.

    Two settings of Prefect's server are worth knowing. `PREFECT_SERVER_DATABASE_CONNECTION_URL` keeps runs in
    Postgres, `postgresql+asyncpg://user:password@host/name`, instead of SQLite;
    `PREFECT_SERVER_API_AUTH_STRING` is a `user:password` that stays the same. docs/serving.md has them, a
    server for a team, workers on other machines, GPUs, backups and upgrades.
    """
    exit_on_signals()
    root = Path.cwd().resolve()
    try:
        if not (root / PREFECT_FILE).is_file():
            raise UserError(f"{PREFECT_FILE} is not in {root}: run this in the root of a clone.")
        with only_one(root) as record:
            address = Address(choose_port(port))
            password = choose_password()
            served = {"pid": os.getpid(), "ui": address.ui, "auth": password}
            record.write_text(json.dumps(served), encoding="utf-8")
            serve(root, address, password, limit=limit)
    except UserError as error:
        typer.echo(hide_secrets(str(error)), err=True)
        raise typer.Exit(code=1) from None
    except KeyboardInterrupt:
        raise typer.Exit(code=130) from None


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[Path]:
    """Yield the record of what is served in this clone: empty, locked and for this user alone.

    If another process has it, this one ends.
    """
    path = state_folder(root) / RECORD
    lock = try_lock(path)
    if lock is None:
        typer.echo(describe_served(path.read_text(encoding="utf-8")))
        raise typer.Exit(code=0)
    with lock:
        path.write_text("")
        path.chmod(0o600)
        yield path


def describe_served(record: str) -> str:
    """Return what to tell a person who serves a second time, from the first one's record."""
    try:
        served = json.loads(record)
    except ValueError:
        return "This clone is being served by a process that is just starting."
    return (
        f"This clone is served already at {served['ui']}, by process {served['pid']}: Ctrl-C ends it there."
    )


if __name__ == "__main__":
    app()
