"""The flow ``training``: a request checked, trained in its own clone by DVC's graph, and published."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_image_artifact, create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger
from prefect.runtime import flow_run as this_run
from prefect.states import Failed

from flows.clones import link_inputs
from flows.reproduce.flow import reproduce
from flows.requests.collecting import Collector
from flows.requests.kinds import CommonRequest, TrainingRequest
from flows.requests.publishing import publish_result
from flows.requests.request import parse_request
from flows.requests.result import (
    describe_request,
    make_result,
    read_result,
    result_address,
    write_result,
)
from flows.requests.settings import make_settings, write_settings
from flows.requests.site import HOURS, WEBHOOK_SECRET, Site, read_site
from flows.requests.webhook import Delivery, deliver, make_event, read_key
from flows.requests.workspace import open_workspace
from oft.errors import UserError
from oft.pictures import data_uri

SECRET_BLOCK = "oft-webhook-secret"
RESULT_ARTIFACT = "training-result"
GALLERY_ARTIFACT = "training-gallery"
WEBHOOK_ARTIFACT = "training-webhook"
STATUSES = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CRASHED": "crashed",
    "CANCELLING": "cancelled",
    "CANCELLED": "cancelled",
}


def find_secret() -> str | None:
    """Return the secret that webhooks are signed with, from the environment or Prefect's block of secrets."""
    if secret := os.environ.get(WEBHOOK_SECRET):
        return secret
    from prefect.blocks.system import Secret

    try:
        block: Any = Secret.load(SECRET_BLOCK, _sync=True)  # type: ignore[call-arg]
        return str(block.get())
    except ValueError:  # there is no such block
        return None


def notify(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Send the request's webhook when the run has ended; log it if no receiver answers."""
    logger = flow_run_logger(flow_run)
    site = read_site()
    message = state.message or ""
    try:
        delivery = send_webhook(str(flow_run.id), state.type.value, message, flow_run.parameters, site)
    except UserError as error:
        logger.error("the webhook cannot be sent: %s", error)
        return
    if delivery is None:
        return
    tries = "\n".join(f"{number}. {said}" for number, said in enumerate(delivery.attempts, 1))
    if delivery.delivered:
        logger.info("webhook delivered (%d tries)", len(delivery.attempts))
        heading = "Delivered"
    else:
        logger.error(
            "webhook not delivered; the run and its result are safe; to send it again: "
            "python -m flows.requests resend %s\n%s",
            flow_run.id,
            tries,
        )
        heading = f"Not delivered; to send it again: `python -m flows.requests resend {flow_run.id}`"
    create_markdown_artifact(f"{heading}\n\n{tries}", key=WEBHOOK_ARTIFACT, description="webhook")


def send_webhook(
    run_id: str, state_type: str, message: str, parameters: dict[str, Any], site: Site
) -> Delivery | None:
    """Send a run's webhook; None if its request has no valid one."""
    values = parameters.get("request")
    secret = find_secret()
    if not isinstance(values, dict) or secret is None or state_type not in STATUSES:
        return None
    url = values.get("webhook")
    if not isinstance(url, str):
        return None
    result = None
    try:
        request = parse_request(values, site._replace(has_webhook_secret=True))
        if state_type == "COMPLETED":
            result = read_result(result_address(request.output, run_id))
    except UserError as error:
        # The message already names the request's faults; an unreadable result it does not.
        message = message if state_type != "COMPLETED" else f"{message}\n{error}".strip()
    return deliver(make_event(run_id, STATUSES[state_type], message, result), url, read_key(secret), site)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[2, 10, 30], persist_result=False)
def upload(folder: Path, address: str) -> None:
    """Publish a finished result; a retry sends only the missing files."""
    publish_result(folder, address)


@flow(
    name="training",
    persist_result=False,
    # `parse_request` checks instead, so that the run's message lists all faults at once.
    validate_parameters=False,
    on_completion=[notify],
    on_failure=[notify],
    on_cancellation=[notify],
    on_crashed=[notify],
)
def training(request: TrainingRequest) -> State[None] | dict[str, Any]:
    """Train an adapter on a subject, a style or a condition and publish it with a gallery.

    Args:
        request: pictures, prompts, settings, and where the result goes.

    Returns:
        The content of result.json; or a Failed state whose message has the remedy. A faulty request fails at
        once, before anything is fetched or run.
    """
    logger = get_run_logger()
    run_id = str(this_run.id)
    try:
        site = read_site()
        secret = find_secret()
        checked = parse_request(request, site._replace(has_webhook_secret=bool(secret)))
        if checked.webhook and secret:
            read_key(secret)
        make_settings(checked, site.repository / "conf")  # fail before anything is cloned
        logger.info("request: %s", describe_request(checked))
        with open_workspace(site.repository, site.scratch, run_id) as workspace:
            # Of the revision that result.json names: the checkout may have edits that are not committed.
            settings = make_settings(checked, workspace.root / "conf")
            collector = Collector(settings["resolution_px"], workspace.files, site)
            checked.place(settings, collector, workspace.root)
            write_settings(settings, workspace.root / "params.yaml")
            link_inputs(workspace.root, site.repository)  # of the profile that the request names
            logger.info("all pictures are sound; training at revision %s", workspace.revision)
            state = train_for(site.max_hours, workspace.root, checked)
            if not state.is_completed():
                return Failed(message=state.message)
            target, address = workspace.files / "result", result_address(checked.output, run_id)
            made, preview = make_result(checked, workspace.root, target, lambda line: logger.info("%s", line))
            result = write_result(made, target, run_id, workspace.revision, address)
            published = upload(target, address, return_state=True)
            if not published.is_completed():
                return Failed(
                    message=f"the result cannot be published: {published.message}; the training itself is in "
                    "DVC's cache: send the same request again and it is published without training anew"
                )
    except UserError as error:
        return Failed(message=str(error))
    show_result(result, preview)
    return result


def train_for(hours: float, root: Path, request: CommonRequest) -> State[Any]:
    """Return the state of the pipeline's run, failed when it takes longer; its processes have ended then."""
    state = reproduce.with_options(timeout_seconds=3600 * hours)(
        targets=request.stages, root=root, return_state=True
    )
    if state.name == "TimedOut":
        return Failed(
            message=f"the training took longer than the {hours:g} h that {HOURS} allows; DVC's cache has its "
            "finished stages: ask for less (max_train_steps, num_gallery_images, of a subject "
            "num_class_images), or have "
            "the server's operator allow more"
        )
    return state


def show_result(result: dict[str, Any], preview: bytes) -> None:
    """Publish the result's addresses and a picture of its gallery as artifacts of this flow run."""
    create_link_artifact(
        link=result["gallery"], link_text=result["address"], key=RESULT_ARTIFACT, description="the result"
    )
    create_image_artifact(data_uri(preview, "jpeg"), key=GALLERY_ARTIFACT, description=result["grid"])
