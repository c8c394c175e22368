"""The flow ``reproduce``: DVC's graph, each stage that has something to do as a Prefect task.

DVC decides what a stage needs and whether it has to run at all; Prefect shows it: states, each stage's lines,
and pages of metrics, times and pictures. Plain ``dvc repro`` gives the same results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_image_artifact, create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import MissingContextError
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.clones import clone_at
from flows.reproduce import pages
from flows.reproduce.run import RunOptions, RunResult, bring_up_to_date
from flows.reproduce.run_table import Status
from flows.reproduce.views import current_view, is_chatter, summarize
from flows.reproduce.walk import StageResult
from flows.server import ends_with_process
from oft.errors import UserError

METRICS_ARTIFACT = "metrics"
TIMELINE_ARTIFACT = "timeline"
REPORT_ARTIFACT = "report"
WITHOUT_PAGE = "No server outlives this run: `make serve` in another terminal shows runs in a browser."


# DVC is the cache: a task always asks it. The walk retries transient failures, as without Prefect. A failed
# state is returned, not raised, which spares the reader two tracebacks.
@task(cache_policy=NO_CACHE, retries=0, persist_result=False)
def run_stage(work: Callable[[], StageResult]) -> State[Any]:
    """Bring one stage up to date, its dependencies being so already.

    Returns:
        Completed with the message ``done`` or ``cached``; Failed with the stage's last lines.
    """
    result = work()
    if result.status is Status.FAILED:
        return Failed(message=result.message)
    return Completed(message=result.status.value)


@flow(name="reproduce", persist_result=False)
def reproduce(
    targets: list[str] | None = None,
    pull: bool = False,
    root: Path | None = None,
    revision: str | None = None,
    jobs: int | None = None,
    keep_going: bool = False,
) -> State[Any] | dict[str, int]:
    """Reproduce the pipeline, or the stages ``targets`` and all they need, side by side where they can be.

    Args:
        targets: stage names, or a matrix's name for all of its stages; none means every stage.
        pull: first fetch results that others have pushed to the default DVC remote.
        root: the DVC repository's root, the current folder if left out.
        revision: a branch, a tag, a commit or HEAD: work on that, in a clone of ``root`` under .clones that
            has its DVC cache and remotes; what is edited in ``root`` stays out, and ``root`` as it is.
        jobs: stages at a time on this machine; one a core if left out.
        keep_going: after a failure, start the stages that do not depend on it.

    Returns:
        How many stages were done and how many DVC had already; or a Failed state that names the stages at
        fault and carries their last lines.
    """
    root = (root or Path.cwd()).resolve()
    logger, view = get_run_logger(), current_view()

    def log(stage: str, line: str) -> None:
        if not is_chatter(line):
            view.line(stage, line)
            _task_logger(logger).info("%s", line)

    started: dict[str, Any] = {}

    def spawn(stage: str, work: Callable[[], StageResult], after: Iterable[str]) -> Any:
        # They have ended: waiting for them draws the graph's edges on the run's page.
        needed = [started[other] for other in after if other in started]
        task_of_stage = run_stage.with_options(name=stage, task_run_name=stage)
        started[stage] = task_of_stage.submit(work, wait_for=needed, return_state=False)
        return started[stage]

    log("", f"The run's page: {address}" if (address := page_address()) else WITHOUT_PAGE)

    try:
        with ExitStack() as stack:
            if revision is not None:
                root = stack.enter_context(clone_at(root, revision, partial(log, "")))
            run = bring_up_to_date(
                root,
                RunOptions(targets, pull, jobs, keep_going),
                spawn=spawn,
                view=view,
                log=log,
                publish=partial(publish_artifacts, root),
            )
    except UserError as error:
        return Failed(message=str(error))
    if run.faults:
        return Failed(message="\n\n".join(run.faults))
    log("", f"Up to date: {summarize(run.table)}.")
    return run.counts


def page_address() -> str | None:
    """Return the address of this run's page; None where its server ends with it."""
    if ends_with_process():
        return None
    address: str | None = flow_run.ui_url
    return address


def _task_logger(default: Any) -> Any:
    """Return the logger of the task that runs in this thread, else the default."""
    try:
        return get_run_logger()
    except MissingContextError:
        return default


def publish_artifacts(root: Path, run: RunResult) -> None:
    """Publish timeline, trainings' grids, metrics, the report's address and its grids as artifacts.

    Pictures are published also of a run in which DVC had everything: its server may never have seen them.
    """
    _create(
        create_markdown_artifact,
        pages.render_timeline(run.table),
        key=TIMELINE_ARTIFACT,
        description="When each stage ran.",
    )
    # Before a failure ends it: how the trainings went is what is looked at first then.
    for name, address in pages.draw_validation_sheets(root).items():
        _create(
            create_image_artifact,
            address,
            key=_artifact_key(f"validation-{name}"),
            description=f"What {name} drew while it was trained, step by step.",
        )
    if run.faults:
        return
    metrics = pages.read_metrics(root)
    _create(
        create_markdown_artifact,
        pages.render_metrics(metrics, pages.exchange_metrics(root, metrics), pages.read_titles(root)),
        key=METRICS_ARTIFACT,
        description="Every metric of the pipeline.",
    )
    if (root / pages.REPORT).is_file():
        _create(
            create_link_artifact,
            (root / pages.REPORT).as_uri(),
            key=REPORT_ARTIFACT,
            link_text=str(pages.REPORT),
            description="The page of all runs, on the machine that ran the flow.",
        )
    for name, path in pages.find_grids(root).items():
        _create(
            create_image_artifact,
            pages.picture_address(path),
            key=_artifact_key(f"grid-{name}"),
            description=f"report/grids/{path.name}",
        )


def _artifact_key(name: str) -> str:
    """Return a name as Prefect allows it for an artifact: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _create(create: Callable[..., object], content: str, **described: str) -> None:
    """Create an artifact; DVC keeps the results, so a server that refuses one costs that artifact alone."""
    try:
        create(content, **described)
    except Exception as error:  # whatever the client raises where no server answers
        get_run_logger().warning("The server did not take %s: %s", described["key"], type(error).__name__)
