from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.workers.process import ProcessWorker
from typer.testing import CliRunner

from flows.deploy import app, create_work_pool, read_deployments, read_switches, restore_switches
from flows.serve.settings import PREFECT_FILE, WORK_POOL

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / PREFECT_FILE).read_text(encoding="utf-8"))
DEPLOYMENTS: list[dict[str, Any]] = FILE["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: str(deployment["name"]))
def test_every_deployment_is_of_a_flow_that_takes_its_parameters(deployment: dict[str, Any]) -> None:
    file, _, name = deployment["entrypoint"].partition(":")
    flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(flow, Flow)
    inspect.signature(flow.fn).bind_partial(**deployment["parameters"])
    if deployment.get("enforce_parameter_schema", True):
        flow.validate_parameters(deployment["parameters"])
    assert deployment["description"]
    assert deployment["work_pool"]["name"] == WORK_POOL


def test_schedules_are_off_and_have_no_parameters_of_their_own() -> None:
    schedules = [schedule for deployment in DEPLOYMENTS for schedule in deployment.get("schedules", [])]
    assert schedules
    for schedule in schedules:
        assert schedule["active"] is False
        assert schedule["slug"]
        assert "parameters" not in schedule  # Prefect 3.9.1 forgets them when the switch is turned


def test_each_workers_environment_names_the_clone_of_its_flows() -> None:
    assert FILE["pull"] == [
        {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $OFT_CLONE }}"}}
    ]


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9/api"], ids=["unset", "nobody there"])
def test_without_a_server_the_remedy_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.chdir(ROOT)
    settings = (
        {"set_defaults": {}, "restore_defaults": {PREFECT_API_URL}}
        if not url
        else {"updates": {PREFECT_API_URL: url}}
    )
    with temporary_settings(**settings):
        shown = CliRunner().invoke(app, [])
    assert shown.exit_code == 1
    assert shown.stderr.startswith("PREFECT_API_URL")


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


def test_the_pool_is_made_once(client: SyncPrefectClient) -> None:
    create_work_pool(client)
    made = client.read_work_pool(WORK_POOL)
    create_work_pool(client)
    assert client.read_work_pool(WORK_POOL).id == made.id
    assert made.type == "process"


HOSTILE: list[dict[str, Any]] = [
    {"command": "touch planted"},
    {"env": {"OFT_TRAININGS_ROOTS": "/"}},
    {"env.OFT_TRAININGS_ROOTS": "/"},
    {"working_dir": "/"},
    {"unknown": 1},
]


@pytest.fixture
def hardened(client: SyncPrefectClient) -> WorkPool:
    """The pool after a deployment over one with Prefect's own template, as a worker makes it."""
    with suppress(ObjectNotFound):
        client.delete_work_pool(WORK_POOL)
    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process", base_job_template=template))
    create_work_pool(client)
    return client.read_work_pool(WORK_POOL)


@pytest.mark.parametrize("variables", HOSTILE, ids=lambda variables: next(iter(variables)))
def test_a_run_cannot_choose_its_command_environment_or_folder(
    variables: dict[str, Any], hardened: WorkPool, client: SyncPrefectClient
) -> None:
    """The server refuses such a run, and a worker would not heed it."""
    flow = client.create_flow_from_name("hostile")
    deployment = client.create_deployment(flow_id=flow, name="hostile", work_pool_name=WORK_POOL)
    with pytest.raises(PrefectHTTPStatusError, match="422"):
        client.create_flow_run_from_deployment(deployment, job_variables=variables)

    worker: Any = ProcessWorker
    read = worker.job_configuration.from_template_and_values
    job = asyncio.run(read(hardened.base_job_template, variables))
    assert (job.command, job.env, job.working_dir) == (None, {}, None)


def test_a_run_without_variables_of_its_own_is_taken(hardened: WorkPool, client: SyncPrefectClient) -> None:
    flow = client.create_flow_from_name("plain")
    deployment = client.create_deployment(flow_id=flow, name="plain", work_pool_name=WORK_POOL)
    run = client.create_flow_run_from_deployment(deployment, job_variables={"stream_output": False})
    assert run.work_pool_name == hardened.name


def test_deploying_again_leaves_the_switches_as_they_were(client: SyncPrefectClient) -> None:
    def deploy() -> None:
        schedule = CronSchedule(cron="0 2 * * *")
        created = DeploymentScheduleCreate(schedule=schedule, active=False, slug="s", parameters={"a": 1})
        client.create_deployment(flow_id=flow, name="switched", schedules=[created])

    flow = client.create_flow_from_name("switched")
    deploy()
    found = read_deployments(client)["switched/switched"]
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=True, parameters={"a": 1})
    before = read_switches(client)
    assert before["switched/switched", "s"]
    deploy()
    assert not read_switches(client)["switched/switched", "s"]
    restore_switches(client, before)
    (schedule,) = read_deployments(client)["switched/switched"].schedules
    assert schedule.active
    assert schedule.parameters == {"a": 1}
