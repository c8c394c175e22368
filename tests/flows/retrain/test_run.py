"""From a scan to a decision without Prefect: promotion, rejection, rollback, and a push that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.commands import require_dvc, run_dvc
from flows.git import git
from flows.graph import open_repository
from flows.reproduce.workspace import LOCKFILE, RWLOCK, repair_dvc_state
from flows.retrain import promotion, run
from flows.retrain.decision import AGAINST_BASE, Decision
from flows.retrain.history import describe_history
from flows.retrain.judging import parse_lockfile, write_lockfile
from flows.retrain.run import (
    SourceScan,
    describe_status,
    read_decisions,
    retrain_once,
    rollback_once,
    scan_sources,
    watch_once,
)
from flows.retrain.settings import RetrainSettings
from flows.retrain.workspace import retrain_lock
from oft.errors import UserError
from oft.storage import load_yaml

from .conftest import TASK, Person

SECRET = "hunter2-planted"
ARTIFACT = "canny-photos-oft"


def fetched_artifact(person: Person, version: str | None) -> str:
    """What the model of a version says, as `dvc artifacts get` fetches it; None takes the newest."""
    target = person.root.parent / f"fetched-{version}"
    with open_repository(person.root) as repo:
        repo.artifacts.download(ARTIFACT, version=version, out=str(target))
    assert (target / "README.md").is_file()
    return (target / "weights" / "adapter" / "model.txt").read_text(encoding="utf-8")


def reproduce(root: Path) -> None:
    """Plain DVC, which gives what the flow gives."""
    require_dvc(["repro"], root=root, log=print)


def test_better_models_are_promoted_noise_is_not_and_a_rollback_gives_the_old_bytes(
    person: Person, blocked_remote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, settings, logged = person.state(), person.settings(), Lines()
    first = retrain_once(settings, reproduce, logged.append).decision
    assert first is not None and (first.kind, first.against) == ("promoted", "the base alone")
    # The push has failed, twice, and the promotion stands.
    assert sum("dvc push failed" in line for line in logged) == 2
    assert "not pushed" in describe_status(settings, print)

    blocked_remote.parent.unlink()
    person.learn(0.2, seed=2)
    person.validate_on("b")  # other pictures: the promoted model is judged on them as well
    second = retrain_once(settings, reproduce, logged.append).decision
    assert second is not None and (second.kind, second.against) == ("promoted", "promoted/1")
    [f1] = [row for row in second.comparisons if row.metric == "canny_f1"]
    assert f1.num_pictures == 40 and f1.num_left_out == 0
    assert 0.05 < f1.low < 0.1 < f1.high < 0.15
    for tag in ("promoted/1", "promoted/2"):
        assert is_pushed(blocked_remote, model_hash(person, tag))

    for clone in (settings.clone, settings.baseline):
        (clone / RWLOCK).write_text('{"read": {"a": [{"pid"', "utf-8")  # as a kill in mid-write leaves it
    person.learn(0.2, seed=3)
    logged.clear()
    third = retrain_once(settings, reproduce, logged.append).decision
    assert third is not None and third.kind == "rejected" and "no score gains" in third.reason
    assert sum("DVC's list of files in use" in line for line in logged) == 2
    assert commit_of(person, "retrain") == commit_of(person, "promoted/2")
    assert model_hash(person, "rejected/3") != model_hash(person, "promoted/2")

    # Once more: DVC has all of it, what the promoted model draws included, and the gate says the same.
    logged.clear()
    again = retrain_once(settings, reproduce, logged.append, force=True).decision
    assert logged and not any("Running stage" in line for line in logged)
    assert again is not None and again.comparisons == third.comparisons

    rollback_once(settings, print, reason="it draws hands")
    decided = ["promoted/1", "promoted/2", "promoted/5", "rejected/3", "rejected/4"]
    assert person.tags() == [*(f"{ARTIFACT}@v{number}.0.0" for number in (1, 2, 5)), *decided]
    assert fetched_artifact(person, None) == fetched_artifact(person, "v1.0.0") == "0.1 1\n"
    assert fetched_artifact(person, "v2.0.0") == "0.2 2\n"
    assert model_after_checkout(person, "promoted/5") == "0.1 1\n"
    assert retrain_once(settings, reproduce, print).message == "nothing has changed since rejected/4"
    with pytest.raises(UserError, match="no promotion before promoted/1"):
        rollback_once(settings, print)
    rollback_once(settings, print, to=2)
    assert model_hash(person, "promoted/6") == model_hash(person, "promoted/2")
    with pytest.raises(UserError, match="known: 1"):
        rollback_once(settings, print, to=3)

    assert person.state() == before
    history = read_decisions(settings, print)
    kinds = [(decision.kind, decision.of) for decision in history]
    assert kinds[:3] == [("promoted", 1), ("promoted", 2), ("rejected", 3)]
    assert kinds[3:] == [("rejected", 4), ("rollback", 1), ("rollback", 2)]
    assert "promoted/5: rolled back to promoted/1" in describe_history(history)
    assert "it draws hands" in describe_history(history)
    status = describe_status(settings, print)
    assert "promoted: promoted/6: rolled back to promoted/2" in status and "not pushed" not in status

    pipeline = git("show", "promoted/2:dvc.yaml", root=person.root)
    assert "# A comment that has to survive." in pipeline
    assert load_yaml(pipeline)["artifacts"][ARTIFACT]["path"] == f"promoted/{TASK}-oft"
    # Nothing of the branch was rewritten: each decision stands on the one before.
    parents = git("rev-list", "--first-parent", "retrain", root=person.root).split()
    expected = ["promoted/6", "promoted/5", "promoted/2", "promoted/1", "main"]
    assert parents == [commit_of(person, name) for name in expected]

    # What opens a remote is nowhere but where DVC reads it.
    secrets = settings.clone / ".dvc" / "config.local"
    assert SECRET in secrets.read_text("utf-8"), "the test plants nothing"
    assert secrets.stat().st_mode & 0o077 == 0
    everything = git("log", "--all", "--patch", root=person.root) + git("for-each-ref", root=person.root)
    assert SECRET not in everything + "\n".join(logged.ever) + capsys.readouterr().out


def test_watch_does_not_repeat_a_failure_until_something_changes(person: Person) -> None:
    def fail(_root: Path) -> None:
        raise UserError("the disk is full")

    settings = person.settings()
    assert watch_once(settings, print) == (True, "nothing was decided yet")
    with pytest.raises(UserError, match="the disk is full"):
        retrain_once(settings, fail, print)
    assert person.tags() == []
    start, why = watch_once(settings, print)
    assert not start and "the last retraining on these data failed" in why and "the disk is full" in why
    person.learn(0.5, seed=9)
    assert watch_once(settings, print)[0]


def test_the_last_candidates_lockfile_does_not_count_as_torn(person: Person) -> None:
    stages = {name: {"cmd": f"echo {name}"} for name in ("acquire", "train")}
    write_lockfile(person.root / LOCKFILE, stages)
    git("add", LOCKFILE, root=person.root)
    git("commit", "--quiet", "--message", "More stages", root=person.root)
    settings, mended = person.settings(), list[str]()
    with retrain_lock(settings.folder, print):
        found = scan_sources(settings, print)
        last = Decision(1, "rejected", 1, "noise", AGAINST_BASE, found.commit, found.sources)
        write_lockfile(settings.clone / LOCKFILE, {"acquire": stages["acquire"]})
        promotion.reject(settings, last)
        found = scan_sources(settings, print)
        assert not found.new_sources
        # The flow begins so.
        run._make_candidate(settings, found, last, lambda root: mended.extend(repair_dvc_state(root)), print)
    assert mended == []
    assert parse_lockfile((settings.clone / LOCKFILE).read_text("utf-8")).keys() == {"acquire"}


@pytest.mark.parametrize(("fault", "is_transient"), [("refused", False), ("moved", True), ("gone", True)])
def test_watch_does_not_repeat_a_decision_that_the_source_refuses(
    person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, is_transient: bool
) -> None:
    settings = RetrainSettings(str(person.root), tmp_path / "work")

    def decide(_settings: RetrainSettings, found: SourceScan, *_: object) -> Decision:
        if fault == "refused":
            git("config", "receive.hideRefs", "refs/tags", root=person.root)
        elif fault == "moved":
            git("tag", "rejected/1", root=person.root)
        else:
            person.root.rename(tmp_path / "gone")
        return Decision(1, "rejected", 1, "noise", AGAINST_BASE, found.commit, found.sources)

    monkeypatch.setattr(run, "_make_candidate", lambda *_: write_lockfile(settings.clone / LOCKFILE, {}))
    monkeypatch.setattr(run, "_decide", decide)
    with pytest.raises(UserError, match="Nothing of rejected/1 has reached the source") as failed:
        retrain_once(settings, reproduce, print)
    assert isinstance(failed.value, promotion.TransientError) == is_transient
    if fault == "gone":
        (tmp_path / "gone").rename(person.root)
    start, why = watch_once(settings, print)
    assert start == is_transient, why
    assert ("the last retraining on these data failed" in why) != is_transient


def test_invalid_settings_must_be_fixed_in_the_source(person: Person) -> None:
    (person.root / "params.yaml").write_text("seed: [", encoding="utf-8")
    git("commit", "--quiet", "--all", "--message", "Broken", root=person.root)
    with pytest.raises(UserError, match="mend and commit it in the source, not in the clone"):
        watch_once(person.settings(), print)


class Lines(list[str]):
    """Lines that were logged: since the last clearing, and ``ever``."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: list[str] = []

    def append(self, line: str) -> None:
        super().append(line)
        self.ever.append(line)


@pytest.fixture
def blocked_remote(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the person's default remote, which cannot be made: its parent is a file."""
    remote = tmp_path / "blocked" / "remote"
    remote.parent.write_text("no folder, so nothing can be pushed", encoding="utf-8")
    with open_repository(person.root) as repo, repo.config.edit("local") as config:
        config["core"] = {"remote": "team"}
        config["remote"] = {
            "team": {"url": str(remote)},
            "spare": {"url": "s3://bucket/x", "secret_access_key": SECRET},
        }
    monkeypatch.setattr(promotion, "PUSH_DELAYS", (0.0,))
    return remote


def is_pushed(remote: Path, md5: str) -> bool:
    return (remote / "files" / "md5" / md5[:2] / md5[2:]).is_file()


def commit_of(person: Person, name: str) -> str:
    return git("rev-parse", f"{name}^{{commit}}", root=person.root)


def model_hash(person: Person, tag: str) -> str:
    lock = load_yaml(git("show", f"{tag}:dvc.lock", root=person.root))
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
