"""Carry out a decision: a commit, its tags, and for a promotion the exported model.

The clone prepares everything. One atomic push of branch and tags is the last step: a promotion that was
interrupted before it has not happened, and the next run makes it again.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from flows.commands import describe_failure, dvc_environment, require_dvc, run_dvc
from flows.git import commit_tree, git, read_file
from flows.graph import open_repository
from flows.process import run_command
from flows.retrain.artifacts import artifact_name, version_tags, with_artifacts
from flows.retrain.card import render_model_card
from flows.retrain.decision import DECISION_FILE, Decision
from flows.retrain.history import next_number, promoted_decision
from flows.retrain.judging import model_outs
from flows.retrain.settings import RetrainSettings
from oft.adapters.files import CONFIG_FILE
from oft.adapters.registry import recognise
from oft.errors import UserError
from oft.params import Params
from oft.storage import write_json

Log = Callable[[str], None]

PROMOTED = Path("promoted")
PIPELINE = "dvc.yaml"
BASE_OUT = "data/models/base"
UNPUSHED_FILE = "unpushed"
# Seconds before a failed push is tried again.
PUSH_DELAYS = (2.0, 10.0, 30.0)


class TransientError(UserError):
    """A fault that may be gone at the next attempt by itself."""


def promote(settings: RetrainSettings, decision: Decision, params: Params, log: Log) -> None:
    """Make the candidate in the clone the promoted model.

    Raises:
        TransientError: see `push_decision`.
        UserError: the model cannot be exported, or the source cannot be written to.
    """
    root = settings.clone
    shutil.rmtree(root / PROMOTED, ignore_errors=True)
    entries = {}
    for task in params.gated_tasks:
        folder = PROMOTED / f"{task}-{params.gate.adapter}"
        export_model(root, task, params.gate.adapter, root / folder / "weights", log)
        card = render_model_card(root, params, task, decision)
        (root / folder / "README.md").write_text(card, encoding="utf-8")
        entries[artifact_name(task, params.gate.adapter)] = {
            "path": folder.as_posix(),
            "type": "model",
            "desc": f"{params.gate.adapter} on {task}, {decision.tag}: {decision.reason}.",
            "labels": [params.gate.adapter, "promoted"],
        }
    weights = [str(PROMOTED / f"{task}-{params.gate.adapter}" / "weights") for task in params.gated_tasks]
    require_dvc(["add", "--quiet", *weights], root=root, log=log)
    pipeline = root / PIPELINE
    pipeline.write_text(with_artifacts(pipeline.read_text(encoding="utf-8"), entries), encoding="utf-8")
    commit = _commit_decision(settings, decision, _parents(settings, decision.revision))
    push_outs(settings, log)
    push_decision(settings, decision, commit, moves_branch=True)


def reject(settings: RetrainSettings, decision: Decision) -> None:
    """Tag the candidate in the clone as rejected; its outs stay in the cache.

    Raises:
        TransientError: see `push_decision`.
        UserError: the source cannot be written to.
    """
    push_decision(
        settings, decision, _commit_decision(settings, decision, [decision.revision]), moves_branch=False
    )


def roll_back(
    settings: RetrainSettings, history: Sequence[Decision], to: int | None, reason: str
) -> Decision:
    """Make an earlier promotion the promoted one again: a new commit with its tree; nothing is rewritten.

    Args:
        to: its number; None takes the promotion before the current one.

    Raises:
        UserError: there is no such promotion.
    """
    root, now = settings.clone, promoted_decision(history)
    promotions = {decision.number: decision for decision in history if decision.kind == "promoted"}
    if now is None:
        raise UserError("nothing is promoted yet, so there is nothing to return to; run a retraining first")
    if to is None:
        to = max((number for number in promotions if number < now.of), default=None)
        if to is None:
            raise UserError(f"there is no promotion before promoted/{now.of}; `history` lists what there is")
    if to not in promotions or to == now.of:
        known = ", ".join(f"{number}" for number in promotions if number != now.of) or "none"
        raise UserError(
            f"--to {to} must be an earlier promotion that is not the promoted one; known: {known}"
        )
    target = promotions[to]
    decision = replace(target, number=next_number(history), kind="rollback", of=to, reason=reason)
    git("read-tree", f"refs/tags/{target.tag}", root=root)
    write_json(root / DECISION_FILE, decision.to_json())
    git("add", "-f", "--", DECISION_FILE, root=root)
    commit = commit_tree(root, _message(decision), [_branch_tip(settings) or f"refs/tags/{now.tag}"])
    push_decision(settings, decision, commit, moves_branch=True)
    return decision


def push_decision(settings: RetrainSettings, decision: Decision, commit: str, *, moves_branch: bool) -> None:
    """Push the decision's tag to the source, all or nothing.

    With ``moves_branch`` push the branch too, and the tags that DVC finds its artifacts by (`version_tags`).

    Raises:
        TransientError: the branch or the tag has moved meanwhile, or the source cannot be reached.
        UserError: the source cannot be written to.
    """
    root, branch, tag = settings.clone, f"refs/heads/{settings.branch}", f"refs/tags/{decision.tag}"
    fetched = git(
        "for-each-ref", "--format=%(objectname)", f"refs/remotes/origin/{settings.branch}", tag, root=root
    )
    # Not signed, whatever git's settings say: a schedule has nobody to unlock a key.
    options = ["--force", "--annotate", "--no-sign", "--file", "-"]
    names, refs = [decision.tag], []
    if moves_branch:
        names += version_tags(read_file(root, commit, PIPELINE) or "{}", PROMOTED, decision.number)
        refs.append(f"{commit}:{branch}")
    for name in names:
        git("tag", *options, name, commit, root=root, stdin=_message(decision))
        # A version's tag without its decision, which somebody has taken back, is made anew.
        force = "" if name == decision.tag else "+"
        refs.append(f"{force}refs/tags/{name}:refs/tags/{name}")
    try:
        git("push", "--quiet", "--no-signed", "--atomic", "origin", *refs, root=root)
    except UserError as error:
        said = f"{error}\nNothing of {decision.tag} has reached the source; what was trained is kept."
        if _has_moved(root, [branch, tag], fetched.split()):
            raise TransientError(
                f"{said} It cannot be reached, or has moved meanwhile: run again."
            ) from error
        raise UserError(f"{said} Let this user push there, and run again.") from error


def export_model(root: Path, task: str, adapter: str, target: Path, log: Log) -> None:
    """Write the adapter itself, and its weight differences where it has any, to the folder ``target``.

    The differences are made by the clone's own code.

    Raises:
        UserError: the adapter cannot be exported.
    """
    _, model = model_outs(task, adapter)
    (target / "adapter").mkdir(parents=True)
    method = recognise(root / model)
    for path in sorted((root / model).iterdir()):
        if path.name == CONFIG_FILE or path.suffix == ".safetensors":  # beside them lie the training's curves
            # A copy: files of a DVC out may be links into its cache.
            shutil.copyfile(path, target / "adapter" / path.name)
    if not method.changes_weights:
        return
    delta = target / "delta.safetensors"
    command = [sys.executable, "-m", "oft.cli", "export", model, BASE_OUT, str(delta), "--format", "delta"]
    finished = run_command(command, root=root, log=log, environment=dvc_environment())
    if finished.exit_code != 0:
        raise UserError(describe_failure(f"oft export {model}", finished))


def push_outs(settings: RetrainSettings, log: Log) -> bool:
    """Push the outs of the clone's workspace to the default DVC remote, if there is one; return whether
    nothing is left to push.

    Retry a failing push, then report and note it: the outs are in the cache, and the next run pushes them.
    """
    with open_repository(settings.clone) as repo:
        if not repo.config.get("core", {}).get("remote"):
            return True
    note = settings.folder / UNPUSHED_FILE
    for delay in (*PUSH_DELAYS, None):
        finished = run_dvc(["push"], root=settings.clone, log=log)
        if finished.exit_code == 0:
            note.unlink(missing_ok=True)
            return True
        if delay is not None:
            log(f"dvc push failed; it is tried again in {delay:g} s")
            time.sleep(delay)
    note.write_text("the promoted model's outs\n", encoding="utf-8")
    log(
        f"{describe_failure('dvc push', finished)}\n"
        "The outs are in the cache of this machine alone; the next retraining pushes them, or `dvc push` on "
        "the branch."
    )
    return False


def needs_push(settings: RetrainSettings) -> bool:
    """Return whether the promoted model's outs have not reached the remote yet."""
    return (settings.folder / UNPUSHED_FILE).is_file()


def _commit_decision(settings: RetrainSettings, decision: Decision, parents: list[str]) -> str:
    root = settings.clone
    write_json(root / DECISION_FILE, decision.to_json())
    names = ["dvc.lock", PIPELINE, "params.yaml", DECISION_FILE]
    if (root / PROMOTED).is_dir() or git("ls-files", "--", str(PROMOTED), root=root):
        names.append(str(PROMOTED))
    git("add", "--all", "--", *names, root=root)
    return commit_tree(root, _message(decision), parents)


def _parents(settings: RetrainSettings, revision: str) -> list[str]:
    """The branch so far and the revision, without the one that the other holds already."""
    tip = _branch_tip(settings)
    if tip is None:
        return [revision]
    found = git("merge-base", "--independent", tip, revision, root=settings.clone).split()
    return sorted(found, key=lambda commit: commit != tip)


def _branch_tip(settings: RetrainSettings) -> str | None:
    ref = f"refs/remotes/origin/{settings.branch}"
    return git("for-each-ref", "--format=%(objectname)", ref, root=settings.clone) or None


def _has_moved(clone: Path, refs: list[str], fetched: list[str]) -> bool:
    """Return whether the source has other objects under ``refs`` than were fetched, or cannot be reached."""
    try:
        listed = git("ls-remote", "--refs", "origin", *refs, root=clone)
    except UserError:
        return True
    return {line.partition("\t")[0] for line in listed.splitlines()} != set(fetched)


def _message(decision: Decision) -> str:
    return f"{decision.title}\n\n{decision.reason[0].upper()}{decision.reason[1:]}.\n"
