"""One retraining from look to decision, without Prefect."""

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
from flows.reproduce.workspace import backup_lockfile
from flows.retrain.decision import BASE_ALONE, Decision
from flows.retrain.gate import judge
from flows.retrain.history import current, last_candidate, next_number, read_history
from flows.retrain.inbox import SETTLE_SECONDS, Taken, take_inboxes
from flows.retrain.judging import LOCK_FILE, judge_promoted, read_scores
from flows.retrain.promotion import (
    PROMOTED,
    TransientError,
    needs_push,
    promote,
    push_outs,
    reject,
    roll_back,
)
from flows.retrain.setting import Setting
from flows.retrain.sources import HASHES_FILE, Hashes, changed_stages, read_fingerprints
from flows.retrain.workspace import hold, link_sources, mend_clone, open_clone
from oft.errors import ParamsError, UserError
from oft.params import PARAMS_FILE, Params, load_params
from oft.storage import read_json, write_json

Log = Callable[[str], None]
Reproduce = Callable[[Path], None]
"""Brings the whole pipeline of a workspace up to date, or raises a UserError."""

Against = Literal["promoted", "base"]
FAILURE_FILE = "failure.json"


class Look(NamedTuple):
    """What a look found: the commit and the sources that a retraining would work on now.

    Attributes:
        new_sources: stages whose source holds something else than the last candidate was trained on.
        new_revision: code or settings are others.
        failure: why the last try on exactly this failed, None where it did not.
    """

    commit: str
    params: Params
    sources: dict[str, str]
    history: list[Decision]
    taken: Taken
    new_sources: list[str]
    new_revision: bool
    failure: str | None


class Outcome(NamedTuple):
    """How a retraining ended: the decision, None where nothing had changed, and that in words."""

    decision: Decision | None
    message: str


def look(setting: Setting, log: Log, settle_seconds: float = SETTLE_SECONDS) -> Look:
    """Take in what has arrived and compare the sources with what the last candidate was trained on.

    Whoever calls it holds the setting's folder. The clone stands at the setting's revision afterwards.

    Raises:
        UserError: source, settings, an inbox or a data set's source cannot be read.
    """
    fetch(setting.source, setting.clone)
    commit = resolve_revision(setting.clone, setting.revision)
    open_clone(setting, setting.clone, commit)
    try:
        params = load_params(setting.clone / PARAMS_FILE)
    except ParamsError as error:
        raise UserError(
            f"revision {commit[:10]} has a {PARAMS_FILE} that breaks the rules; mend and commit it in the "
            f"source, not in the clone:\n{error}"
        ) from error
    hashes = Hashes(setting.folder / HASHES_FILE)
    taken = take_inboxes(setting.inboxes, params, setting.person, setting.folder, hashes, log, settle_seconds)
    sources = read_fingerprints(params, setting.person, hashes)
    history = read_history(setting.clone)
    last = last_candidate(history)
    return Look(
        commit,
        params,
        sources,
        history,
        taken,
        changed_stages(sources, last.sources if last else {}),
        last is None or last.revision != commit,
        _read_failure(setting, commit, sources),
    )


def watch_once(setting: Setting, log: Log, settle_seconds: float = SETTLE_SECONDS) -> tuple[bool, str]:
    """Look for new data and return whether a retraining has to start, and why or why not.

    A first look finds everything new. What failed on exactly these data is not tried again by itself.

    Raises:
        UserError: see `look`.
    """
    try:
        with hold(setting.folder, log, wait=False):
            found = look(setting, log, settle_seconds)
    except Busy as error:
        return False, str(error)
    if found.failure is not None:
        return False, f"the last retraining on these data failed, mend it and run one: {found.failure}"
    if not found.history:
        return True, "nothing was decided yet"
    if found.new_sources:
        return True, f"new data for {', '.join(found.new_sources)}"
    waiting = f"; {found.taken.waiting} files of inboxes still grow" if found.taken.waiting else ""
    return False, f"nothing has changed{waiting}"


def retrain_once(
    setting: Setting,
    reproduce: Reproduce,
    log: Log,
    *,
    force: bool = False,
    wait: bool = True,
    against: Against = "promoted",
    settle_seconds: float = SETTLE_SECONDS,
) -> Outcome:
    """Train a candidate where data, code or settings changed, judge it, and promote or reject it.

    Args:
        reproduce: what brings the candidate's pipeline up to date.
        force: also where nothing changed.
        wait: wait for another retraining in the same folder instead of failing.
        against: ``base`` judges against the base alone, for a candidate on another base.

    Raises:
        UserError: something the user can mend; nothing is decided, and the next run goes on from DVC's cache.
    """
    with hold(setting.folder, log, wait):
        found = look(setting, log, settle_seconds)
        if needs_push(setting):
            _push_again(setting, found, log)
        last = last_candidate(found.history)
        if last and not (force or found.new_sources or found.new_revision):
            return Outcome(None, f"nothing has changed since {last.tag}")
        try:
            _make_candidate(setting, found, last, reproduce, log)
            decision = _decide(setting, found, against, log)
            if decision.kind == "promoted":
                promote(setting, decision, found.params, log)
            else:
                reject(setting, decision)
        except TransientError:
            raise
        except UserError as error:
            write_json(
                setting.folder / FAILURE_FILE,
                {"commit": found.commit, "sources": found.sources, "message": hide_secrets(str(error))},
            )
            raise
        (setting.folder / FAILURE_FILE).unlink(missing_ok=True)
        return Outcome(decision, f"{decision.title}: {decision.reason}")


def rollback_once(setting: Setting, log: Log, to: int | None = None, reason: str = "") -> Decision:
    """Make an earlier promotion the promoted one again.

    Raises:
        UserError: there is none, or the source cannot be written to.
    """
    with hold(setting.folder, log):
        fetch(setting.source, setting.clone)
        history = read_history(setting.clone)
        return roll_back(setting, history, to, reason or "asked for")


def past(setting: Setting, log: Log) -> list[Decision]:
    """Return the decisions so far, the oldest first, as the source has them."""
    with hold(setting.folder, log):
        fetch(setting.source, setting.clone)
        return read_history(setting.clone)


def describe_status(setting: Setting, log: Log) -> str:
    """Return what is promoted, what was decided last and what is new, in lines; inboxes are left alone.

    Raises:
        UserError: source, settings or a data set's source cannot be read, or a retraining is at work.
    """
    with hold(setting.folder, log, wait=False):
        found = look(replace(setting, inboxes={}), log)
    now, last = current(found.history), last_candidate(found.history)
    lines = [
        f"promoted: {now.title if now else 'nothing yet'}",
        f"last candidate: {last.title if last else 'none yet'}",
        f"new data: {', '.join(found.new_sources) or 'none'}",
        f"revision {found.commit[:10]}: {'not trained with yet' if found.new_revision else 'seen'}",
    ]
    if needs_push(setting):
        lines.append("not pushed: the promoted model's outs are in the cache of this machine alone")
    if found.failure is not None:
        lines.append(f"the last try on these data failed: {found.failure}")
    return "\n".join(lines)


def _make_candidate(
    setting: Setting, found: Look, last: Decision | None, reproduce: Reproduce, log: Log
) -> None:
    root = setting.clone
    mend_clone(root, log)
    link_sources(found.params, setting, root)
    shutil.rmtree(root / PROMOTED, ignore_errors=True)
    # The last candidate's lock names the data its sources held; the revision's may be of any day.
    if last and (text := read_file(root, f"refs/tags/{last.tag}", LOCK_FILE)) is not None:
        (root / LOCK_FILE).write_text(text, encoding="utf-8")
    graph = read_graph(root)
    for stage in (stage for stage in graph if stage in found.new_sources):
        log(f"{stage}: its source has changed")
        if graph[stage]:
            require_dvc(["repro", *graph[stage]], root=root, log=log)
        # By force: DVC sees the path of the source, which is the same, and its run cache would answer.
        require_dvc(["repro", "--force", "--single-item", stage], root=root, log=log)
    backup_lockfile(root)  # `reproduce` mends the clone, and must not put back a lock of before
    reproduce(root)


def _decide(setting: Setting, found: Look, against: Against, log: Log) -> Decision:
    gate, root = found.params.gate, setting.clone
    promoted = current(found.history) if against == "promoted" else None
    before = judge_promoted(setting, found.commit, promoted, found.params, log) if promoted else {}
    scores = {
        task: (
            before[task] if task in before else read_scores(root, task, "none"),
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
        against=promoted.tag if promoted and before else BASE_ALONE,
        revision=found.commit,
        sources=found.sources,
        level=judgement.level,
        comparisons=judgement.comparisons,
    )


def _push_again(setting: Setting, found: Look, log: Log) -> None:
    """Push what an earlier promotion could not; from the cache, so its outs need not be placed."""
    now = current(found.history)
    if now is not None:
        open_clone(setting, setting.clone, f"refs/tags/{now.tag}")
        push_outs(setting, log)
        open_clone(setting, setting.clone, found.commit)


def _read_failure(setting: Setting, commit: str, sources: dict[str, str]) -> str | None:
    file = setting.folder / FAILURE_FILE
    if not file.is_file():
        return None
    failure = read_json(file)
    same = failure["commit"] == commit and failure["sources"] == sources
    return str(failure["message"]) if same else None
