"""Clones: of the named revision, with the cache and remotes of the person; one retraining at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.clones import fetch, resolve_revision
from flows.git import git
from flows.graph import open_repository
from flows.locking import Busy
from flows.reproduce.workspace import LOCKFILE_BACKUP, RWLOCK
from flows.retrain.judging import write_lockfile
from flows.retrain.run import watch_once
from flows.retrain.settings import RetrainSettings, resolve_settings
from flows.retrain.workspace import link_sources, open_clone, repair_clone, retrain_lock
from oft.errors import UserError
from oft.params import parse_params

from .conftest import Person

HOLDER = """
import sys, time
from pathlib import Path
from flows.retrain.workspace import retrain_lock
with retrain_lock(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(60)
"""


def opened(person: Person) -> Path:
    settings = person.settings()
    settings.folder.mkdir(exist_ok=True)
    fetch(settings.source, settings.clone)
    open_clone(settings, settings.clone, resolve_revision(settings.clone, settings.revision))
    return settings.clone


def test_a_clone_has_the_users_revision_cache_and_remotes(person: Person) -> None:
    (person.root / ".dvc" / "config.local").write_text("['remote \"team\"']\nurl = ../../team\n", "utf-8")
    (person.root / "tiny.py").write_text("edited, not committed", encoding="utf-8")
    clone = opened(person)
    assert "edited" not in (clone / "tiny.py").read_text(encoding="utf-8")
    with open_repository(clone) as repo:
        assert Path(repo.cache.local_cache_dir) == person.root / ".dvc" / "cache"
        assert repo.config["remote"]["team"]["url"] == str(person.root.parent / "team")
    assert git("status", "--porcelain", root=clone) == ""


def test_a_clone_is_reset_and_dvc_outs_stay(person: Person) -> None:
    clone = opened(person)
    (clone / "data").mkdir()
    (clone / "data" / "out").write_text("made", encoding="utf-8")
    (clone / "stray.txt").write_text("left", encoding="utf-8")
    (clone / "tiny.py").write_text("left", encoding="utf-8")
    git("tag", "promoted/9", root=clone)  # of a promotion that was interrupted
    (clone / ".git" / "index.lock").touch()
    assert opened(person) == clone
    assert (clone / "data" / "out").is_file() and not (clone / "stray.txt").exists()
    assert git("status", "--porcelain", root=clone) == git("tag", "--list", root=clone) == ""


def test_a_clone_is_repaired_and_its_lockfile_does_not_count_as_torn(person: Person) -> None:
    stages = {name: {"cmd": f"echo {name}"} for name in ("acquire", "train", "evaluate")}
    write_lockfile(person.root / "dvc.lock", {"acquire": stages["acquire"]})
    git("add", "dvc.lock", root=person.root)
    git("commit", "--quiet", "--message", "Fewer stages", root=person.root)
    clone, logged = opened(person), list[str]()
    write_lockfile(clone / LOCKFILE_BACKUP, stages)
    (clone / RWLOCK).write_text('{"read', encoding="utf-8")
    repair_clone(clone, logged.append)
    assert git("status", "--porcelain", root=clone) == ""
    assert len(logged) == 1 and (clone / RWLOCK).read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize("name", ["main", "v1", "{commit}"])
def test_a_revision_is_a_branch_a_tag_or_a_commit(person: Person, name: str) -> None:
    git("tag", "v1", root=person.root)
    commit = git("rev-parse", "HEAD", root=person.root)
    clone = opened(person)
    settings = RetrainSettings(str(person.root), clone.parent, revision=name.format(commit=commit))
    assert resolve_revision(clone, settings.revision) == commit


def test_an_unknown_revision_is_refused(person: Person) -> None:
    settings = RetrainSettings(str(person.root), person.root / ".retrain", revision="mian")
    clone = opened(person)
    with pytest.raises(UserError, match="'mian' is no branch, tag or commit"):
        resolve_revision(clone, settings.revision)


def test_relative_sources_resolve_as_in_the_users_workspace(person: Person, values: dict[str, Any]) -> None:
    clone = opened(person)
    values["datasets"]["photos"]["acquire"]["source"] = "mine"
    for _ in range(2):
        link_sources(parse_params(values), person.settings(), clone)
        assert (clone / "mine" / "val.txt").read_bytes() == (person.data / "val.txt").read_bytes()
    git("add", "--all", root=clone)
    assert git("status", "--porcelain", root=clone) == ""
    values["datasets"]["photos"]["acquire"]["source"] = "../mine"
    with pytest.raises(UserError, match="write an absolute path"):
        link_sources(parse_params(values), person.settings(), clone)


def test_a_second_retraining_reports_or_waits_for_the_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd(), env=dict(os.environ))
    try:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        with (
            pytest.raises(Busy, match=rf"another run works in .* \(process {first.pid}\)"),
            retrain_lock(tmp_path, print, wait=False),
        ):
            pytest.fail("two at once")

        start, why = watch_once(RetrainSettings(str(tmp_path), tmp_path), print)
        assert not start and "another run works in" in why

        def killed(line: str) -> None:
            assert f"(process {first.pid}); waiting for its end" in line
            first.kill()

        with retrain_lock(tmp_path, killed):
            assert first.wait() == -9
    finally:
        first.kill()
        first.wait()
        first.stdout.close() if first.stdout else None


def test_settings_are_checked_before_anything_starts(person: Person, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must hold no user name") as refused:
        resolve_settings("https://me:hunter2@host/repo.git")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UserError, match="must be a git repository"):
        resolve_settings(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="git rev-parse failed"):
        resolve_settings(str(tmp_path))
    with pytest.raises(UserError, match=f"must be the root of a git repository.*--source {person.root}$"):
        resolve_settings(str(person.data))
    bare = tmp_path / "bare.git"
    git("clone", "--quiet", "--bare", str(person.root), str(bare), root=tmp_path)
    assert resolve_settings(str(bare), branch="main").source == str(bare)
    with pytest.raises(UserError, match=f"must be the root of a git repository.*--source {bare}$"):
        resolve_settings(str(bare / "refs"))
    with pytest.raises(UserError, match="a name that git allows"):
        resolve_settings(str(person.root), branch="re..train")
    with pytest.raises(UserError, match="'main' is checked out"):
        resolve_settings(str(person.root), branch="main")
    settings = resolve_settings(str(person.root))
    assert settings.folder == person.root / ".retrain" and settings.source_root == person.root
