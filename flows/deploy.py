"""``python -m flows.deploy``: bring the deployments of prefect.yaml to a Prefect server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands import describe_failure
from flows.process import exit_on_signals, run_command
from flows.redaction import hide_secrets
from flows.serve.settings import PREFECT_FILE, WORK_POOL
from flows.server import WANTS_PASSWORD, adopt_served
from oft.errors import UserError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

PAGE = 200  # as many as Prefect gives at once
RUN_VARIABLES = ("stream_output",)
"""What a run's ``job_variables`` may set: whether the worker repeats its lines."""

Switches = dict[tuple[str, str], bool]
"""Whether a schedule is on, by its deployment's name (``flow/deployment``) and its slug."""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    file: Annotated[Path, typer.Option(help="The deployments.", dir_okay=False)] = Path(PREFECT_FILE),
) -> None:
    """Bring the deployments of prefect.yaml to the Prefect server at PREFECT_API_URL, and make or update the
    pool `oft` of processes there: no run may choose its command, environment or working directory.

    Run it again after every change of prefect.yaml or of a flow's parameters. Schedules that somebody has
    switched on or off stay as they are. `make serve` does this for its own server; for a team's server:

    `PREFECT_API_URL=http://127.0.0.1:4200/api PREFECT_API_AUTH_STRING=user:password python -m flows.deploy`
    """
    exit_on_signals()
    os.environ.setdefault("DO_NOT_TRACK", "1")
    adopt_served()
    try:
        for name in deploy(file):
            typer.echo(f"deployed {name}")
    except UserError as error:
        typer.echo(hide_secrets(str(error)), err=True)
        raise typer.Exit(code=1) from None


def deploy(file: Path) -> list[str]:
    """Make or update the pool, deploy all of ``file``, and leave every schedule's switch as it was.

    Returns:
        The names of all deployments on the server, ``flow/deployment``.

    Raises:
        UserError: there is no server, it asks for a password, or Prefect refuses a deployment.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url:
        raise UserError(
            "PREFECT_API_URL is not set: give the address of a Prefect server, such as "
            "http://127.0.0.1:4200/api; `make serve` starts one."
        )
    if not file.is_file():
        raise UserError(f"{file}: there is no such file; run this in the root of a clone, or give --file.")
    try:
        with get_client(sync_client=True) as client:
            create_work_pool(client)
            before = read_switches(client)
            command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
            done = run_command([sys.executable, "-m", *command], root=Path.cwd(), log=lambda _: None)
            if done.exit_code != 0:
                raise UserError(describe_failure(" ".join(command), done))
            restore_switches(client, before)
            return sorted(read_deployments(client))
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.UNAUTHORIZED:
            raise
        raise UserError(f"{url} {WANTS_PASSWORD}.") from None
    except httpx.TransportError as error:
        raise UserError(f"PREFECT_API_URL={url}: no server answers there ({error}).") from None


def create_work_pool(client: SyncPrefectClient) -> None:
    """Make the pool in which runs wait for a worker, or give the pool that is there this template."""
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectAlreadyExists

    template = job_template()
    try:
        client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process", base_job_template=template))
    except ObjectAlreadyExists:
        client.update_work_pool(WORK_POOL, WorkPoolUpdate(base_job_template=template))


def job_template() -> dict[str, Any]:
    """Return how a worker starts a run, without anything that the run's creator may choose but RUN_VARIABLES.

    Prefect's own template takes command, environment and working directory from ``job_variables``, beside
    the parameters: any shell command, and other OFT_TRAININGS_ROOTS than the operator's.
    """
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    job, variables = template["job_configuration"], template["variables"]
    properties = {name: variables["properties"][name] for name in RUN_VARIABLES}
    return {
        "job_configuration": {name: job[name] for name in RUN_VARIABLES},
        # The server refuses a run with other variables instead of dropping them.
        "variables": {**variables, "properties": properties, "additionalProperties": False},
    }


def read_switches(client: SyncPrefectClient) -> Switches:
    """Return the switch of every schedule of every deployment."""
    return {
        (name, schedule.slug): schedule.active
        for name, deployment in read_deployments(client).items()
        for schedule in deployment.schedules
        if schedule.slug and schedule.active is not None
    }


def restore_switches(client: SyncPrefectClient, before: Switches) -> None:
    """Turn every schedule that was there ``before`` on or off as it was: deploying follows the file."""
    for name, deployment in read_deployments(client).items():
        for schedule in deployment.schedules:
            active = before.get((name, schedule.slug or ""), schedule.active)
            if active != schedule.active:
                # Prefect 3.9.1 drops the parameters of a schedule unless the update repeats them.
                client.update_deployment_schedule(
                    deployment.id, schedule.id, active=active, parameters=schedule.parameters
                )


def read_deployments(client: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    """Return every deployment of the server by its name, ``flow/deployment``."""
    deployments: list[DeploymentResponse] = []
    while page := client.read_deployments(limit=PAGE, offset=len(deployments)):
        deployments += page
    flows = {flow: client.read_flow(flow).name for flow in {deployment.flow_id for deployment in deployments}}
    return {f"{flows[deployment.flow_id]}/{deployment.name}": deployment for deployment in deployments}


if __name__ == "__main__":
    app()
