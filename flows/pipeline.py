"""The flow ``reproduce``: DVC's graph, stage by stage, each as a Prefect task.

DVC decides what a stage needs and whether it has to run at all; Prefect adds an order one can watch, the
lines each stage prints, and a page of metrics. Plain ``dvc repro`` gives the same results.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.commands import describe_changes, describe_failure, read_dvc_json, read_outcome, run_dvc
from flows.graph import plan_stages, read_graph
from flows.metrics import collect_rows, render_metrics
from oft.errors import UserError

METRICS_ARTIFACT = "metrics"


# DVC is the cache: a task always asks it. A stage that fails is at fault itself, so it is not tried again;
# its state is returned rather than raised, which spares the reader two tracebacks through Prefect.
@task(cache_policy=NO_CACHE, retries=0, persist_result=False)
def run_stage(stage: str, root: Path) -> State[None]:
    """Bring one stage up to date, those it needs being so already.

    Returns:
        Completed with the message ``ran``, ``restored`` or ``unchanged``; Failed with the stage's last lines.
    """
    logger = get_run_logger()
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        logger.info("%s", line)

    finished = run_dvc(["repro", "--single-item", stage], root=root, log=log)
    if finished.exit_code != 0:
        return Failed(message=describe_failure(f"stage {stage}", finished))
    return Completed(message=read_outcome(lines))


@task(cache_policy=NO_CACHE, retries=0, persist_result=False)
def fetch_results(stages: list[str], root: Path) -> None:
    """Fetch what the default remote holds for ``stages``, earlier runs included, into DVC's cache.

    What it lacks is no fault, only work left to do here.
    """
    logger = get_run_logger()
    finished = run_dvc(["fetch", "--run-cache", *stages], root=root, log=lambda line: logger.info("%s", line))
    if finished.exit_code != 0:
        logger.warning("%s\nWhat could not be fetched is made here.", describe_failure("dvc fetch", finished))


@task(cache_policy=NO_CACHE, retries=0, persist_result=False)
def publish_metrics(root: Path) -> None:
    """Keep every metric of the pipeline as one markdown artifact of this flow run."""
    rows = collect_rows(read_dvc_json(["metrics", "show"], root=root))
    create_markdown_artifact(render_metrics(rows), key=METRICS_ARTIFACT, description="dvc metrics show")


@flow(name="reproduce", persist_result=False)
def reproduce(
    targets: list[str] | None = None, pull: bool = False, root: Path | None = None
) -> State[None] | dict[str, int]:
    """Reproduce the pipeline, or the stages ``targets`` and all they need, one after the other.

    Args:
        targets: stage names, or a matrix's name for all of its stages; none means every stage.
        pull: first fetch results that others have pushed to the default DVC remote.
        root: the DVC repository's root, the current folder if left out.

    Returns:
        How many stages ran, were restored from the cache and were unchanged; or a Failed state that names the
        stage at fault and carries its last lines. Stages after it are not started.
    """
    logger = get_run_logger()
    root = (root or Path.cwd()).resolve()
    try:
        stages = plan_stages(read_graph(root), targets)
    except UserError as error:
        return Failed(message=str(error))
    logger.info("%d to bring up to date: %s", len(stages), ", ".join(stages))

    if pull:
        fetch_results(stages, root)
    outcomes: Counter[str] = Counter(ran=0, restored=0, unchanged=0)
    for stage in stages:
        state = run_stage.with_options(name=stage, task_run_name=stage)(stage, root, return_state=True)
        if not state.is_completed():
            return Failed(message=state.message)
        outcomes[state.message or "unchanged"] += 1

    publish_metrics(root)
    # The gate: what Prefect walked must be what DVC calls up to date.
    if changed := read_dvc_json(["status", *stages], root=root):
        return Failed(
            message=f"every stage passed, yet DVC finds these changed since:\n{describe_changes(changed)}"
        )
    logger.info("up to date: %s", ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    return dict(outcomes)
