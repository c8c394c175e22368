"""``python -m flows.share push`` and ``pull``: results to the team's DVC remote, and from it."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from flows.faults import explain_faults
from flows.graph import open_repository
from flows.reaper import GRACE_SECONDS
from flows.redaction import hide_secrets
from oft.errors import UserError
from oft.storage.private import use_private_site_cache

DONE = {"push": "sent", "pull": "fetched"}
UNTRANSFERRED = "failed to transfer"
MISSING = re.compile(r"Checkout failed for following targets:\n(.*?)\nIs your cache up to date", re.DOTALL)
INTERRUPTED = "\ninterrupted: nothing is lost; run it again to go on"
LOGGERS = ("dvc", "dvc_data", "dvc_objects")
REMOTE_SETUP = """this repository has no DVC remote to share results through. To make one on S3:

  dvc remote add --default team s3://BUCKET/PREFIX
  dvc remote modify team verify true
  git commit .dvc/config --message "Remote of the team"

Credentials are what AWS's tools use (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws),
never .dvc/config; AWS_ENDPOINT_URL leads to MinIO and the like. docs/team.md tells the rest."""

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False, no_args_is_help=True
)
Remote = Annotated[
    str | None, typer.Option(help="A remote of `dvc remote list`, if not the default.", show_default=False)
]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Files at a time. Default: DVC's, four a core.", show_default=False)
]


@app.callback()
def root() -> None:
    """Share results through the repository's DVC remote, such as a bucket on S3: `docs/team.md`."""


@app.command()
def push(remote: Remote = None, jobs: Jobs = None) -> None:
    """Send the workspace's results and the run cache to the remote; what it has is not sent again.

    An interrupted push loses nothing: run it again to go on. Others find the results by dvc.lock: commit it.
    """
    share("push", remote, jobs)


@app.command()
def pull(remote: Remote = None, jobs: Jobs = None) -> None:
    """Fetch from the remote what dvc.lock names, and the run cache; what is here is not fetched again.

    `make repro` afterwards runs nothing that another machine has run and pushed.
    """
    share("pull", remote, jobs)


def share(verb: str, remote: str | None, jobs: int | None) -> None:
    """Run ``dvc push`` or ``dvc pull`` with ``--run-cache``, with DVC's own progress bars.

    Report each kind of fault once, with the remedy, and exit with status 1: DVC's own command exits with 0 if
    only entries of the run cache failed to transfer.
    """
    try:
        require_remote(Path.cwd(), remote)
        with exit_soon_on_signals(), collect_faults() as faults:
            count = transfer(verb, remote, jobs)
        if faults:
            raise UserError(describe_faults(verb, faults))
        typer.echo(f"{count} files {DONE[verb]}; the remote and this clone agree.")
    except UserError as error:
        typer.echo(hide_secrets(str(error)), err=True)
        raise typer.Exit(code=1) from None
    except Interrupted as signalled:
        typer.echo(INTERRUPTED, err=True)
        raise typer.Exit(code=128 + signalled.number) from None


class Interrupted(KeyboardInterrupt):
    """A signal asks to stop."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def exit_soon_on_signals() -> Iterator[None]:
    """On Ctrl-C, SIGTERM and SIGHUP stop in order, or in any case shortly after: a transfer that hangs would
    keep the process for minutes. Both ends hold whole files only, whenever this one stops.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        def end() -> None:
            typer.echo(INTERRUPTED, err=True)
            os._exit(128 + number)

        timer = threading.Timer(GRACE_SECONDS, end)
        timer.daemon = True
        timer.start()
        raise Interrupted(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, leave) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def transfer(verb: str, remote: str | None, jobs: int | None) -> int:
    """Send or fetch and return the number of files; log faults, as DVC logs those of single files.

    Waits for another DVC process in this clone.
    """
    from dvc.repo import Repo

    use_private_site_cache()
    try:
        with Repo(_wait_for_lock=True) as repo:
            if verb == "push":
                return int(repo.push(remote=remote, jobs=jobs, run_cache=True))
            return int(repo.pull(remote=remote, jobs=jobs, run_cache=True)["stats"]["fetched"])
    except Exception:  # those of botocore, which flows do not know, come through DVC as they are
        logging.getLogger(LOGGERS[0]).exception("")
        return 0


def require_remote(root: Path, remote: str | None) -> None:
    """Return if there is a remote to use.

    Raises:
        UserError: there is none, or none of that name, or the folder is no DVC repository.
    """
    with open_repository(root) as repo:
        names, default = list(repo.config["remote"]), repo.config["core"].get("remote")
    if not names:
        raise UserError(REMOTE_SETUP)
    name = remote or default
    if name is None:
        raise UserError(
            f"none of this repository's DVC remotes is the default: `dvc remote default NAME` makes one so, "
            f"--remote NAME uses one once; there are: {', '.join(names)}"
        )
    if name not in names:
        raise UserError(f"there is no DVC remote {name!r}; there are: {', '.join(names)} (`dvc remote list`)")


@contextmanager
def collect_faults() -> Iterator[list[str]]:
    """Keep DVC's warnings and errors from the terminal and yield them, one line or more each."""
    import dvc.logger  # noqa: F401  its handlers are there from here on

    faults: list[str] = []
    collector = Collector(faults)
    silenced = [handler for name in LOGGERS for handler in logging.getLogger(name).handlers]
    for handler in silenced:
        handler.addFilter(is_below_warning)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(collector)
    try:
        yield faults
    finally:
        for handler in silenced:
            handler.removeFilter(is_below_warning)
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(collector)


def is_below_warning(record: logging.LogRecord) -> bool:
    return record.levelno < logging.WARNING


class Collector(logging.Handler):
    """Collects log messages, with the errors behind them."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        said, error = [record.getMessage()], record.exc_info[1] if record.exc_info else None
        while error is not None:
            said.append(f"{type(error).__name__}: {error}")
            error = error.__cause__
        self.faults.append(hide_secrets("\n".join(filter(None, said))))


def describe_faults(verb: str, faults: Sequence[str]) -> str:
    """Return one message: the number of failed files, the meaning of each kind of fault, the missing outs."""
    untransferred = sum(fault.startswith(UNTRANSFERRED) for fault in faults)
    count = f"{untransferred} files were not {DONE[verb]}" if untransferred else f"not all was {DONE[verb]}"
    lines = [f"- {meaning}." for meaning in explain_faults(faults)]
    if missing := find_missing(faults):
        lines.append(
            f"- The remote does not hold all of: {', '.join(missing)}. Whoever made them runs `make push` "
            "(again, if it was interrupted); or `make repro` makes them here."
        )
    if not lines:  # nothing known: what DVC says
        rest = dict.fromkeys(fault for fault in faults if not fault.startswith(UNTRANSFERRED)) or faults
        lines = [f"  {line}" for fault in rest for line in fault.splitlines()]
    return "\n".join([f"{verb} failed: {count}; nothing that was here is lost.", *lines])


def find_missing(faults: Sequence[str]) -> list[str]:
    """Return the outs that DVC could not put in place for want of their contents."""
    found = (MISSING.search(fault) for fault in faults)
    return [path for match in found if match for path in match[1].splitlines()]


if __name__ == "__main__":
    app()
