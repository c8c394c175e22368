"""From a look to a decision without Prefect: promotion, rejection, rollback, and a push that fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.commands import describe_failure, run_dvc
from flows.graph import open_repository
from flows.retraining import promotion
from flows.retraining.git import git
from flows.retraining.history import describe_history
from flows.retraining.run import describe_status, past, retrain_once, rollback_once
from oft.errors import UserError

from .conftest import TASK, Person


def reproduce(root: Path) -> None:
    """Plain DVC, which gives what the flow gives."""
    finished = run_dvc(["repro"], root=root, log=print)
    if finished.exit_code != 0:
        raise UserError(describe_failure("dvc repro", finished))


def test_better_models_are_promoted_noise_is_not_and_a_rollback_gives_the_old_bytes(
    person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    before, setting = person.state(), person.setting()
    first = retrain_once(setting, reproduce, print).decision
    assert first is not None and (first.kind, first.against) == ("promoted", "the base alone")

    person.learn(0.2, seed=2)
    person.validate_on("b")  # other pictures: the promoted model is judged on them as well
    second = retrain_once(setting, reproduce, print).decision
    assert second is not None and (second.kind, second.against) == ("promoted", "promoted/1")
    [f1] = [row for row in second.comparisons if row.metric == "canny_f1"]
    assert f1.num_pictures == 40 and f1.num_left_out == 0
    assert 0.05 < f1.low < 0.1 < f1.high < 0.15

    person.learn(0.2, seed=3)
    third = retrain_once(setting, reproduce, print).decision
    assert third is not None and third.kind == "rejected" and "no score gains" in third.reason
    assert commit_of(person, "retrain") == commit_of(person, "promoted/2")
    assert model_hash(person, "rejected/3") != model_hash(person, "promoted/2")

    # Once more: DVC has all of it, what the promoted model draws included, and the gate says the same.
    capsys.readouterr()
    again = retrain_once(setting, reproduce, print, force=True).decision
    assert "Running stage" not in capsys.readouterr().out
    assert again is not None and again.comparisons == third.comparisons

    rollback_once(setting, print, reason="it draws hands")
    assert person.tags() == [
        "promoted/1",
        "promoted/2",
        "promoted/6",
        "rejected/3",
        "rejected/4",
        "rejected/5",
    ]
    assert model_after_checkout(person, "promoted/5") == "0.1 1\n"
    assert retrain_once(setting, reproduce, print).message == "nothing has changed since rejected/4"
    with pytest.raises(UserError, match="no promotion before promoted/1"):
        rollback_once(setting, print)
    rollback_once(setting, print, to=2)
    assert model_hash(person, "promoted/6") == model_hash(person, "promoted/2")
    with pytest.raises(UserError, match="known: 1"):
        rollback_once(setting, print, to=3)

    assert person.state() == before
    history = past(setting, print)
    kinds = [(decision.kind, decision.of) for decision in history]
    assert kinds[:3] == [("promoted", 1), ("promoted", 2), ("rejected", 3)]
    assert kinds[3:] == [("rejected", 4), ("rollback", 1), ("rollback", 2)]
    assert "promoted/5: rolled back to promoted/1" in describe_history(history)
    assert "it draws hands" in describe_history(history)
    assert "promoted: promoted/6: rolled back to promoted/2" in describe_status(setting, print)

    pipeline = git("show", "promoted/2:dvc.yaml", root=person.root)
    assert "# A comment that has to survive." in pipeline
    assert yaml.safe_load(pipeline)["artifacts"]["canny-photos-oft"]["path"] == f"promoted/{TASK}-oft"
    # Nothing of the branch was rewritten: each decision stands on the one before.
    parents = git("rev-list", "--first-parent", "retrain", root=person.root).split()
    expected = ["promoted/6", "promoted/5", "promoted/2", "promoted/1", "main"]
    assert parents == [commit_of(person, name) for name in expected]


def test_a_failing_push_keeps_the_promotion_and_is_made_up_for(
    person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what opens the remote is nowhere: not in commits, not in what is logged."""
    secret = "hunter2-planted"
    blocked, remote = tmp_path / "blocked", tmp_path / "blocked" / "remote"
    blocked.write_text("no folder, so nothing can be pushed", encoding="utf-8")
    with open_repository(person.root) as repo, repo.config.edit("local") as config:
        config["core"] = {"remote": "team"}
        config["remote"] = {
            "team": {"url": str(remote)},
            "spare": {"url": "s3://bucket/x", "secret_access_key": secret},
        }
    monkeypatch.setattr(promotion, "PUSH_DELAYS", (0.0,))
    setting = person.setting()
    logged: list[str] = []
    outcome = retrain_once(setting, reproduce, logged.append)
    assert outcome.decision is not None and outcome.decision.kind == "promoted"
    assert sum("dvc push failed" in line for line in logged) >= 2
    assert "not pushed" in describe_status(setting, print)
    assert (setting.clone / ".dvc" / "config.local").stat().st_mode & 0o077 == 0

    blocked.unlink()
    assert retrain_once(setting, reproduce, logged.append).decision is None
    assert any(remote.rglob("*.dir")), "the promoted model has reached the remote"
    assert "not pushed" not in describe_status(setting, print)

    everything = git("log", "--all", "--patch", root=person.root) + git("for-each-ref", root=person.root)
    assert secret not in everything + "\n".join(logged) + capsys.readouterr().out
    assert secret in (setting.clone / ".dvc" / "config.local").read_text("utf-8"), "the test plants nothing"


def commit_of(person: Person, name: str) -> str:
    return git("rev-parse", f"{name}^{{commit}}", root=person.root)


def model_hash(person: Person, tag: str) -> str:
    lock = yaml.safe_load(git("show", f"{tag}:dvc.lock", root=person.root))
    return str(lock["stages"][f"train@{TASK}-oft"]["outs"][0]["md5"])


def model_after_checkout(person: Person, tag: str) -> str:
    """Return the model that `dvc checkout` gives at a tag, in a clone with the person's cache."""
    clone = person.root.parent / tag.replace("/", "-")
    git("clone", "--quiet", "--branch", tag, str(person.root), str(clone), root=person.root)
    (clone / ".dvc" / "config.local").write_text(f"[cache]\ndir = {person.root}/.dvc/cache\n", "utf-8")
    assert run_dvc(["checkout", "--quiet"], root=clone, log=print).exit_code == 0
    model = (clone / "runs" / TASK / "oft" / "magnitude" / "model.txt").read_text(encoding="utf-8")
    exported = clone / "promoted" / f"{TASK}-oft" / "weights" / "adapter" / "model.txt"
    assert exported.read_text(encoding="utf-8") == model
    return model
