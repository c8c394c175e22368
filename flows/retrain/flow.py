"""The flows ``retrain`` and ``watch``: a retraining on a schedule, or when new data have arrived."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.redaction import hide_secrets
from flows.reproduce.flow import reproduce
from flows.retrain.decision import render_decision
from flows.retrain.run import Against, retrain_once, watch_once
from flows.retrain.settings import DEFAULT_BRANCH, SETTLE_SECONDS, resolve_settings
from oft.errors import UserError

DECISION_ARTIFACT = "decision"


@flow(name="retrain", persist_result=False)
def retrain(
    source: str = ".",
    folder: Path | None = None,
    revision: str = "HEAD",
    branch: str = DEFAULT_BRANCH,
    inboxes: dict[str, str] | None = None,
    force: bool = False,
    against: Against = "promoted",
    settle_seconds: float = SETTLE_SECONDS,
) -> State[None]:
    """Train a candidate in a clone where data, code or settings changed, judge it, promote or reject it.

    Args:
        source: the git repository that is cloned and pushed to; a folder, or an address without credentials
            (Prefect keeps parameters and shows them).
        folder: where clones are kept; see `resolve_settings`.
        revision: branch, tag or commit whose code and settings the training uses.
        branch: the branch of promotion commits.
        inboxes: for each data set, the place where new pictures arrive.
        force: retrain even if nothing changed.
        against: judge against the promoted model, or against the base alone.
        settle_seconds: how long a file of an inbox must have stayed unchanged.

    Returns:
        Completed with the decision in its message; Failed with the reason, and then nothing was decided.
    """
    logger = get_run_logger()

    def run_pipeline(root: Path) -> None:
        state = reproduce(root=root, return_state=True)
        if not state.is_completed():
            raise UserError(state.message or "the pipeline failed and did not say why")

    try:
        result = retrain_once(
            resolve_settings(source, folder, revision, branch, inboxes, settle_seconds),
            run_pipeline,
            partial(logger.info, "%s"),
            force=force,
            against=against,
        )
    except UserError as error:
        return Failed(message=hide_secrets(str(error)))
    if result.decision is not None:
        create_markdown_artifact(
            render_decision(result.decision), key=DECISION_ARTIFACT, description=result.decision.title
        )
    return Completed(message=result.message)


@flow(name="retrain-watch", persist_result=False)
def watch(
    source: str = ".",
    folder: Path | None = None,
    revision: str = "HEAD",
    branch: str = DEFAULT_BRANCH,
    inboxes: dict[str, str] | None = None,
    settle_seconds: float = SETTLE_SECONDS,
) -> State[None]:
    """Look for new data, and retrain only where there are some; see `retrain` for the parameters.

    Returns:
        Completed with the scan's finding or the retraining's decision; Failed with the reason.
    """
    logger = get_run_logger()
    try:
        settings = resolve_settings(source, folder, revision, branch, inboxes, settle_seconds)
        start, why = watch_once(settings, partial(logger.info, "%s"))
    except UserError as error:
        return Failed(message=hide_secrets(str(error)))
    logger.info("%s", why)
    if not start:
        return Completed(message=why)
    state = retrain(
        source, folder, revision, branch, inboxes, settle_seconds=settle_seconds, return_state=True
    )
    made = Completed if state.is_completed() else Failed
    return made(message=f"{why}: {state.message}")
