"""``python -m flows.requests``: ask for a training, follow it, cancel it, read its result."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.process import user_errors
from flows.requests.client import DEPLOYMENT, Client, TrainingRun
from oft.errors import UserError

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="A training as a request: pictures of a subject, a style or for control in, an adapter and a "
    "gallery out.\n\n"
    "The server is where the variable PREFECT_API_URL says (`make serve` prints it); docs/requests.md has "
    "the same with curl.",
)

RunId = Annotated[uuid.UUID, typer.Argument(help="The run's id, as `submit` prints it.", show_default=False)]


@app.command()
def submit(
    request: Annotated[
        Path | None,
        typer.Argument(help="A JSON file of parameters; `-` reads standard input.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="A parameter, KEY=VALUE; the value as JSON, or as plain text."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--idempotency-key", help="The same key gives the same run. Default: a new one."),
    ] = None,
    deployment: Annotated[str, typer.Option(help="Name of the deployment.")] = DEPLOYMENT,
    check: Annotated[bool, typer.Option("--check", help="Check the request and send nothing.")] = False,
) -> None:
    """Check a request and queue it; prints the run's id.

    For example:

    `python -m flows.requests submit -s instance_images=robot.zip -s output=robots
    -s "instance_prompt=a photo of sks robot" -s "class_prompt=a photo of robot" -s max_train_steps=300`

    `python -m flows.requests submit -s kind=style -s images=ink.zip -s "caption_template={caption}, in ink"
    -s output=styles`

    `python -m flows.requests schema` lists the parameters.
    """
    from flows.requests.request import parse_request

    with user_errors():
        values = {**_read_parameters(request), **dict(map(_parse_setting, settings or []))}
        # Only the server knows its limits; it checks again.
        parse_request(values)
        if check:
            typer.echo("the request is sound", err=True)
            return
        with Client() as client:
            typer.echo(client.submit(values, key or str(uuid.uuid4()), deployment).id)


@app.command()
def schema() -> None:
    """Print the parameters of each kind of request as JSON Schema: types, ranges, defaults, descriptions."""
    from pydantic import TypeAdapter

    from flows.requests.kinds import TrainingRequest

    schema: Any = TypeAdapter(TrainingRequest).json_schema()
    typer.echo(json.dumps(schema, indent=2, ensure_ascii=False))


@app.command()
def status(run_id: RunId) -> None:
    """Print a run's state and, where it has one, its message."""
    with user_errors(), Client() as client:
        run = client.read(str(run_id))
        typer.echo(_describe(run))


@app.command()
def wait(run_id: RunId) -> None:
    """Print what a run logs until it ends; status 0 if it completed, 1 otherwise."""
    with user_errors(), Client() as client:
        for item in client.follow(str(run_id)):
            if isinstance(item, TrainingRun):
                typer.echo(_describe(item))
                raise typer.Exit(code=0 if item.state == "COMPLETED" else 1)
            typer.echo(item)


@app.command()
def logs(run_id: RunId) -> None:
    """Print what a run has logged so far."""
    with user_errors(), Client() as client:
        for line in client.logs(str(run_id)):
            typer.echo(line)


@app.command()
def cancel(run_id: RunId) -> None:
    """Cancel a run: its processes end, its clone is removed, its webhook is sent.

    One that still waits in the queue just ends.
    """
    with user_errors(), Client() as client:
        typer.echo(client.cancel(str(run_id)).state)


@app.command()
def result(run_id: RunId) -> None:
    """Print result.json of a completed run: addresses, hashes and metrics.

    Reads it where the run put it: on S3 with the credentials of this environment, or in a folder of this
    machine (a relative `output` lies in the first of OFT_TRAININGS_ROOTS).
    """
    from flows.requests.request import parse_request
    from flows.requests.result import read_result, result_address
    from flows.requests.site import read_site

    with user_errors():
        with Client() as client:
            run = client.read(str(run_id))
        if run.state != "COMPLETED":
            raise UserError(f"run {run_id} has no result: it is {run.state} {run.message}".rstrip())
        site = read_site()._replace(has_webhook_secret=True)
        output = parse_request(run.parameters.get("request"), site).output
        typer.echo(json.dumps(read_result(result_address(output, run.id)), indent=2, ensure_ascii=False))


@app.command()
def resend(run_id: RunId) -> None:
    """Send the webhook of a run that has ended again, with the same id.

    Needs the server's OFT_WEBHOOK_SECRET and access to the result.
    """
    with user_errors():
        with Client() as client:
            run = client.read(str(run_id))
        if not run.is_final:
            raise UserError(f"run {run_id} has not ended: it is {run.state}")
        from flows.requests.flow import send_webhook  # imports Prefect
        from flows.requests.site import read_site

        delivery = send_webhook(run.id, run.state, run.message, run.parameters, read_site())
        if delivery is None:
            raise UserError(f"run {run_id} has no webhook, or there is no secret (OFT_WEBHOOK_SECRET)")
        for attempt in delivery.attempts:
            typer.echo(attempt)
        if not delivery.delivered:
            raise UserError("the webhook was not delivered")


def _describe(run: TrainingRun) -> str:
    return "\n".join(filter(None, (run.state, run.message)))


def _read_parameters(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        text = typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text(encoding="utf-8")
        values = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON file of parameters: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f'{path} must hold one JSON object of parameters, such as {{"output": "robots"}}')
    return values


def _parse_setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set takes KEY=VALUE, for example max_train_steps=300; got {text!r}")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


if __name__ == "__main__":
    app()
