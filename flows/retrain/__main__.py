"""``python -m flows.retrain``: train on new data, judge the result, promote or reject it, roll back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from flows.process import exit_on_signals
from flows.redaction import hide_secrets
from oft.errors import UserError

if TYPE_CHECKING:
    from flows.retrain.settings import RetrainSettings

_Value = TypeVar("_Value")

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


SourceOption = Annotated[
    str,
    typer.Option(help="Git repository to clone and to push to: a folder, or an address without password."),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        help="Where clones are kept between runs. Default: $OFT_RETRAIN, else .retrain.", show_default=False
    ),
]
InboxOption = Annotated[
    list[str] | None,
    typer.Option(
        help="DATASET=PLACE: new pictures that arrive in a folder or an s3://bucket/prefix go to a data "
        "set's own folder; DATASET/SUBJECT=PLACE to a subject's. Repeat for more.",
        show_default=False,
    ),
]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Train even if nothing changed.")] = False,
    source: SourceOption = ".",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit of it to train with.")] = "HEAD",
    branch: Annotated[str, typer.Option(help="Branch of it that promotions are committed on.")] = "retrain",
    folder: FolderOption = None,
    inbox: InboxOption = None,
    against: Annotated[
        Literal["promoted", "base"],
        typer.Option(help="What to judge against; base, for a candidate on another base."),
    ] = "promoted",
) -> None:
    """Train a candidate in a clone where data, code or settings have changed; judge it against the promoted
    model on the same pictures; promote or reject it. Your workspace is not touched.

    What it must show stands in section `gate` of params.yaml, what it decided in `history`. A promotion is a
    commit on branch `retrain` and a tag `promoted/N`, with model card, exported adapter and an entry under
    `artifacts:` in dvc.yaml; a rejected candidate keeps its tag `rejected/N`.

    `make serve` shows the runs in a browser; without it a server is started for the time of the run.

    Commands: `watch` (once: look, train if there are new data), `status`, `history`, `rollback`. For example:

    `python -m flows.retrain watch --help`

    `python -m flows.retrain --inbox photos=/srv/inbox --force`

    `python -m flows.retrain rollback`
    """
    exit_on_signals()
    os.environ.setdefault("DO_NOT_TRACK", "1")
    inboxes = _guarded(lambda: _parse_inboxes(inbox or []))
    # The parameters that the flows and `resolve_settings` share.
    context.obj = {
        "source": source, "folder": folder, "revision": revision, "branch": branch, "inboxes": inboxes
    }  # fmt: skip
    if context.invoked_subcommand is not None:
        return
    _prepare_flow(context)
    from flows.retrain.flow import retrain

    state = retrain(**context.obj, force=force, against=against, return_state=True)
    _exit(state.is_completed(), state.message)


@app.command("watch")
def watch_command(context: typer.Context) -> None:
    """Look once for new data in the sources and inboxes; retrain if there are some, else do nothing.

    For a schedule: the flow `retrain-watch` of flows/retrain/flow.py does the same. Options stand before
    the command: `python -m flows.retrain --inbox photos=/srv/inbox watch`
    """
    _prepare_flow(context)
    from flows.retrain.flow import watch

    state = watch(**context.obj, return_state=True)
    _exit(state.is_completed(), state.message)


@app.command("rollback")
def rollback_command(
    context: typer.Context,
    to: Annotated[
        int | None, typer.Option(help="Number of the promotion to return to. Default: the one before.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
) -> None:
    """Make the promotion before the promoted one again: a new commit on the branch, nothing is rewritten.

    `git checkout promoted/N && dvc checkout` then gives its bytes.
    """
    from flows.retrain.run import rollback_once

    decision = _guarded(lambda: rollback_once(_settings(context), typer.echo, to, reason))
    typer.echo(decision.title)


@app.command("history")
def history_command(context: typer.Context) -> None:
    """List promotions, rejections and rollbacks with scores and reasons, the newest first."""
    from flows.retrain.history import describe_history
    from flows.retrain.run import read_decisions

    typer.echo(describe_history(_guarded(lambda: read_decisions(_settings(context), typer.echo))))


@app.command("status")
def status_command(context: typer.Context) -> None:
    """Say what is promoted, what the last decision was, and whether there are new data. Starts nothing."""
    from flows.retrain.run import describe_status

    typer.echo(_guarded(lambda: describe_status(_settings(context), typer.echo)))


def _parse_inboxes(given: list[str]) -> dict[str, str]:
    inboxes = {}
    for text in given:
        name, equals, place = text.partition("=")
        if not (name and equals and place):
            raise UserError(f"--inbox {text!r} must be DATASET=FOLDER or DATASET=s3://bucket/prefix")
        inboxes[name] = place
    return inboxes


def _settings(context: typer.Context) -> RetrainSettings:
    from flows.retrain.settings import resolve_settings

    return _guarded(lambda: resolve_settings(**context.obj))


def _prepare_flow(context: typer.Context) -> None:
    """Check the settings, then import the flow while a server starts or is found."""
    from flows.server import import_flow

    _settings(context)
    _guarded(lambda: import_flow("flows.retrain.flow"))


def _guarded(action: Callable[[], _Value]) -> _Value:
    try:
        return action()
    except UserError as error:
        typer.echo(hide_secrets(str(error)), err=True)
        raise typer.Exit(code=1) from None


def _exit(completed: bool, message: str | None) -> None:
    typer.echo(f"\n{message}", err=not completed)
    if not completed:
        raise typer.Exit(code=1)


if __name__ == "__main__":
    app()
