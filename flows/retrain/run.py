"""One retraining, from scanning the sources to the decision, without Prefect."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from flows.clones import fetch, resolve_revision
from flows.commands import require_dvc
from flows.git import read_file
from flows.graph import read_graph
from flows.locking import Busy
from flows.redaction import hide_secrets
from flows.reproduce.workspace import LOCKFILE, backup_lockfile
from flows.retrain.decision import AGAINST_BASE, Decision
from flows.retrain.gate import judge
from flows.retrain.history import last_candidate, next_number, promoted_decision, read_history
from flows.retrain.inbox import InboxCounts, ingest_inboxes
from flows.retrain.judging import judge_promoted, read_scores
from flows.retrain.promotion import (
    PROMOTED,
    TransientError,
    needs_push,
    promote,
    push_outs,
    reject,
    roll_back,
)
from flows.retrain.settings import RetrainSettings
from flows.retrain.sources import HASHES_FILE, HashCache, changed_stages, read_fingerprints
from flows.retrain.workspace import link_sources, open_clone, repair_clone, retrain_lock
from oft.adapters.registry import BASE_ALONE
from oft.errors import ParamsError, UserError
from oft.params import PARAMS_FILE, Params, load_params
from oft.report.plan import describe_task
from oft.storage import read_json, write_json

Log = Callable[[str], None]
Reproduce = Callable[[Path], None]
"""Brings the whole pipeline of a workspace up to date, or raises a UserError."""

Against = Literal["promoted", "base"]
FAILURE_FILE = "failure.json"


class SourceScan(NamedTuple):
    """The commit and the sources that a retraining would use now.

    Attributes:
        inboxes: how many pictures the inboxes gave.
        new_sources: stages whose source differs from the one the last candidate was trained on.
        new_revision: code or settings have changed.
        failure: why the last attempt on exactly this failed; None if it did not.
    """

    commit: str
    params: Params
    sources: dict[str, str]
    history: list[Decision]
    inboxes: InboxCounts
    new_sources: list[str]
    new_revision: bool
    failure: str | None


class RetrainResult(NamedTuple):
    """How a retraining ended: the decision, None if nothing had changed, and a message."""

    decision: Decision | None
    message: str


def scan_sources(settings: RetrainSettings, log: Log) -> SourceScan:
    """Ingest the inboxes, and compare the sources with those that the last candidate was trained on.

    The caller holds the lock of the working folder. The clone is at the settings' revision afterwards.

    Raises:
        UserError: source, settings, an inbox or a data set's source cannot be read.
    """
    fetch(settings.source, settings.clone)
    commit = resolve_revision(settings.clone, settings.revision)
    open_clone(settings, settings.clone, commit)
    try:
        params = load_params(settings.clone / PARAMS_FILE)
    except ParamsError as error:
        raise UserError(
            f"revision {commit[:10]} has a {PARAMS_FILE} that breaks the rules; mend and commit it in the "
            f"source, not in the clone:\n{error}"
        ) from error
    hashes = HashCache(settings.folder / HASHES_FILE)
    inboxes = ingest_inboxes(settings, params, hashes, log)
    sources = read_fingerprints(params, settings.source_root, hashes)
    history = read_history(settings.clone)
    last = last_candidate(history)
    return SourceScan(
        commit,
        params,
        sources,
        history,
        inboxes,
        changed_stages(sources, last.sources if last else {}),
        last is None or last.revision != commit,
        _read_failure(settings, commit, sources),
    )


def watch_once(settings: RetrainSettings, log: Log) -> tuple[bool, str]:
    """Look for new data and return whether a retraining has to start, and why or why not.

    A first scan finds everything new. A retraining that failed on exactly these data does not start again.

    Raises:
        UserError: see `scan_sources`.
    """
    try:
        with retrain_lock(settings.folder, log, wait=False):
            found = scan_sources(settings, log)
    except Busy as error:
        return False, str(error)
    if found.failure is not None:
        return False, f"the last retraining on these data failed, mend it and run one: {found.failure}"
    if not found.history:
        return True, "nothing was decided yet"
    if found.new_sources:
        return True, f"new data for {', '.join(found.new_sources)}"
    waiting = f"; {found.inboxes.waiting} files of inboxes still grow" if found.inboxes.waiting else ""
    return False, f"nothing has changed{waiting}"


def retrain_once(
    settings: RetrainSettings,
    reproduce: Reproduce,
    log: Log,
    *,
    force: bool = False,
    wait: bool = True,
    against: Against = "promoted",
) -> RetrainResult:
    """Train a candidate where data, code or settings changed, judge it, and promote or reject it.

    Args:
        reproduce: brings the candidate's pipeline up to date.
        force: retrain even if nothing changed.
        wait: wait for another retraining in the same folder instead of failing.
        against: ``base`` judges against the base alone, for a candidate on another base.

    Raises:
        UserError: something the user can fix; nothing is decided, and the next run goes on from DVC's cache.
    """
    with retrain_lock(settings.folder, log, wait):
        found = scan_sources(settings, log)
        if needs_push(settings):
            _push_again(settings, found, log)
        last = last_candidate(found.history)
        if last and not (force or found.new_sources or found.new_revision):
            return RetrainResult(None, f"nothing has changed since {last.tag}")
        try:
            _make_candidate(settings, found, last, reproduce, log)
            decision = _decide(settings, found, against, log)
            if decision.kind == "promoted":
                promote(settings, decision, found.params, log)
            else:
                reject(settings, decision)
        except TransientError:
            raise
        except UserError as error:
            write_json(
                settings.folder / FAILURE_FILE,
                {"commit": found.commit, "sources": found.sources, "message": hide_secrets(str(error))},
            )
            raise
        (settings.folder / FAILURE_FILE).unlink(missing_ok=True)
        return RetrainResult(decision, f"{decision.title}: {decision.reason}")


def rollback_once(settings: RetrainSettings, log: Log, to: int | None = None, reason: str = "") -> Decision:
    """Make an earlier promotion the promoted one again.

    Raises:
        UserError: there is none, or the source cannot be written to.
    """
    with retrain_lock(settings.folder, log):
        fetch(settings.source, settings.clone)
        history = read_history(settings.clone)
        return roll_back(settings, history, to, reason or "asked for")


def read_decisions(settings: RetrainSettings, log: Log) -> list[Decision]:
    """Return the decisions so far, the oldest first, as the source has them."""
    with retrain_lock(settings.folder, log):
        fetch(settings.source, settings.clone)
        return read_history(settings.clone)


def describe_status(settings: RetrainSettings, log: Log) -> str:
    """Describe the promoted model, the last decision and new data, in lines; read no inbox.

    Raises:
        UserError: source, settings or a data set's source cannot be read, or a retraining is at work.
    """
    with retrain_lock(settings.folder, log, wait=False):
        found = scan_sources(replace(settings, inboxes={}), log)
    now, last = promoted_decision(found.history), last_candidate(found.history)
    lines = [
        f"promoted: {now.title if now else 'nothing yet'}",
        f"last candidate: {last.title if last else 'none yet'}",
        f"new data: {', '.join(found.new_sources) or 'none'}",
        f"revision {found.commit[:10]}: {'not trained with yet' if found.new_revision else 'seen'}",
    ]
    if needs_push(settings):
        lines.append("not pushed: the promoted model's outs are in the cache of this machine alone")
    if found.failure is not None:
        lines.append(f"the last try on these data failed: {found.failure}")
    return "\n".join(lines)


def _make_candidate(
    settings: RetrainSettings, found: SourceScan, last: Decision | None, reproduce: Reproduce, log: Log
) -> None:
    root = settings.clone
    repair_clone(root, log)
    link_sources(found.params, settings, root)
    shutil.rmtree(root / PROMOTED, ignore_errors=True)
    # The last candidate's lock names the data its sources held; the revision's may be of any day.
    if last and (text := read_file(root, f"refs/tags/{last.tag}", LOCKFILE)) is not None:
        (root / LOCKFILE).write_text(text, encoding="utf-8")
    graph = read_graph(root)
    for stage in (stage for stage in graph if stage in found.new_sources):
        log(f"{stage}: its source has changed")
        if graph[stage]:
            require_dvc(["repro", *graph[stage]], root=root, log=log)
        # By force: DVC sees the path of the source, which is the same, and its run cache would answer.
        require_dvc(["repro", "--force", "--single-item", stage], root=root, log=log)
    backup_lockfile(root)  # `reproduce` repairs the clone, and must not restore an earlier lock
    reproduce(root)


def _decide(settings: RetrainSettings, found: SourceScan, against: Against, log: Log) -> Decision:
    gate, root = found.params.gate, settings.clone
    promoted = promoted_decision(found.history) if against == "promoted" else None
    before = judge_promoted(settings, found.commit, promoted, found.params, log) if promoted else {}
    scores = {
        task: (
            before[task] if task in before else read_scores(root, task, BASE_ALONE),
            read_scores(root, task, gate.adapter),
        )
        for task in found.params.gated_tasks
    }
    judgement = judge(scores, gate)
    number = next_number(found.history)
    return Decision(
        number=number,
        kind="promoted" if judgement.passes else "rejected",
        of=number,
        reason=judgement.reason,
        against=promoted.tag if promoted and before else AGAINST_BASE,
        revision=found.commit,
        sources=found.sources,
        level=judgement.level,
        comparisons=judgement.comparisons,
        judges=found.params.evaluate.judges,
        titles={task: describe_task(task, found.params).title(task) for task in found.params.gated_tasks},
    )


def _push_again(settings: RetrainSettings, found: SourceScan, log: Log) -> None:
    """Push the outs that an earlier promotion could not push; they come from the cache, not the workspace."""
    now = promoted_decision(found.history)
    if now is not None:
        open_clone(settings, settings.clone, f"refs/tags/{now.tag}")
        push_outs(settings, log)
        open_clone(settings, settings.clone, found.commit)


def _read_failure(settings: RetrainSettings, commit: str, sources: dict[str, str]) -> str | None:
    file = settings.folder / FAILURE_FILE
    if not file.is_file():
        return None
    failure = read_json(file)
    same = failure["commit"] == commit and failure["sources"] == sources
    return str(failure["message"]) if same else None
