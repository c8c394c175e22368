from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.commands import run_dvc
from flows.git import git
from flows.reproduce.workspace import (
    LOCKFILE_BACKUP,
    LOCKFILE_TORN,
    RUN_LOCK,
    RWLOCK,
    backup_lockfile,
    repair_dvc_state,
    workspace_lock,
)
from oft.errors import UserError
from tests.conftest import ROOT
from tests.flows.conftest import MakeRepository

HOLD = """
import sys
from pathlib import Path
from flows.reproduce.workspace import workspace_lock
with workspace_lock(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def reproduced(make_repository: MakeRepository) -> Path:
    """A repository whose stages have run, with its dvc.lock kept."""
    root = make_repository()
    assert run_dvc(["repro"], root=root, log=lambda _: None).exit_code == 0
    backup_lockfile(root)
    return root


def test_a_second_run_waits_for_the_first_and_names_it(make_repository: MakeRepository) -> None:
    root = make_repository()
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    said: list[str] = []
    inside = threading.Event()

    def second() -> None:
        with workspace_lock(root, said.append):
            inside.set()

    thread = threading.Thread(target=second)
    thread.start()
    while not said:
        pass
    assert f"process {first.pid}" in said[0] and not inside.is_set()
    first.kill()  # however it ends, the lock goes with it
    thread.join(timeout=30)
    assert inside.is_set()
    first.communicate()


def test_the_lock_is_free_again_after_the_block(make_repository: MakeRepository) -> None:
    root = make_repository()
    with workspace_lock(root, print):
        pass
    with (root / RUN_LOCK).open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_whole_lockfile_stays(reproduced: Path) -> None:
    before = (reproduced / "dvc.lock").read_bytes()
    assert repair_dvc_state(reproduced) == []
    assert (reproduced / "dvc.lock").read_bytes() == before == (reproduced / LOCKFILE_BACKUP).read_bytes()


def test_a_lockfile_torn_anywhere_is_restored(reproduced: Path) -> None:
    """A killed writer leaves the beginning of what it would have written; ends of lines are worst."""
    whole = (reproduced / "dvc.lock").read_bytes()
    ends = {place + 1 for place, byte in enumerate(whole[:-1]) if byte == ord("\n")}
    for length in sorted(ends | set(range(0, len(whole), 23))):
        (reproduced / "dvc.lock").write_bytes(whole[:length])
        assert repair_dvc_state(reproduced), whole[:length]
        assert (reproduced / "dvc.lock").read_bytes() == whole
    lines: list[str] = []
    assert run_dvc(["repro"], root=reproduced, log=lines.append).exit_code == 0
    assert not any(line.startswith("Running stage") for line in lines)


def test_an_edited_lockfile_does_not_count_as_torn(reproduced: Path) -> None:
    from oft.storage import dump_yaml, load_yaml

    values = load_yaml((reproduced / "dvc.lock").read_text())
    del values["stages"]["first"]  # not the last: no cut does that
    (reproduced / "dvc.lock").write_text(dump_yaml(values))
    assert repair_dvc_state(reproduced) == []


def test_without_a_backup_the_committed_lockfile_is_restored_or_the_remedy_named(reproduced: Path) -> None:
    whole = (reproduced / "dvc.lock").read_bytes()
    (reproduced / LOCKFILE_BACKUP).unlink()
    (reproduced / "dvc.lock").write_bytes(whole[:-7])
    with pytest.raises(UserError, match=r"git checkout dvc\.lock"):
        repair_dvc_state(reproduced)
    (reproduced / "dvc.lock").write_bytes(whole)
    git("init", "--quiet", root=reproduced)
    git("add", "dvc.lock", root=reproduced)
    git("commit", "--quiet", "--message", "lock", root=reproduced)
    (reproduced / "dvc.lock").write_bytes(whole[:-7])
    assert repair_dvc_state(reproduced)
    assert (reproduced / "dvc.lock").read_bytes() == whole


def test_a_torn_list_of_files_in_use_is_emptied(reproduced: Path) -> None:
    (reproduced / RWLOCK).write_text('{"read": {"a": [{"pid": 1, "cm')
    assert repair_dvc_state(reproduced)
    assert run_dvc(["repro"], root=reproduced, log=lambda _: None).exit_code == 0


def test_locks_of_dead_processes_are_released(reproduced: Path) -> None:
    """After a restart of the machine some other process has the number that DVC noted."""
    sleeper = subprocess.Popen(["sleep", "600"])
    path = str(reproduced / "a")
    other = {"pid": os.getpid(), "cmd": "dvc repro first"}
    alive = {"pid": sleeper.pid, "cmd": "/usr/bin/sleep 600"}
    (reproduced / RWLOCK).write_text(json.dumps({"read": {path: [other, alive]}, "write": {path: other}}))
    assert repair_dvc_state(reproduced)
    assert json.loads((reproduced / RWLOCK).read_text()) == {"read": {path: [alive]}, "write": {}}
    assert repair_dvc_state(reproduced) == []
    sleeper.kill()
    sleeper.wait()
    assert repair_dvc_state(reproduced)
    assert run_dvc(["repro", "--force"], root=reproduced, log=lambda _: None).exit_code == 0


def test_a_committed_lockfile_with_fewer_stages_does_not_count_as_torn(reproduced: Path) -> None:
    """As where a person has tried a stage more and gone back."""
    whole = (reproduced / "dvc.lock").read_text()
    shorter = whole[: whole.index("  third:")]
    (reproduced / "dvc.lock").write_text(shorter)
    assert repair_dvc_state(reproduced)
    (reproduced / "dvc.lock").write_text(shorter)
    git("init", "--quiet", root=reproduced)
    git("add", "dvc.lock", root=reproduced)
    git("commit", "--quiet", "--message", "before", root=reproduced)
    assert repair_dvc_state(reproduced) == []
    assert (reproduced / "dvc.lock").read_text() == shorter


def test_a_torn_lockfile_is_never_backed_up(reproduced: Path) -> None:
    whole = (reproduced / "dvc.lock").read_bytes()
    (reproduced / "dvc.lock").write_bytes(whole[: len(whole) // 2])
    backup_lockfile(reproduced)
    assert (reproduced / LOCKFILE_BACKUP).read_bytes() == whole


def test_a_persons_merge_is_never_replaced(reproduced: Path) -> None:
    """git leaves its marks where it cannot merge; whoever resolves them has both sides to choose from."""
    whole = (reproduced / "dvc.lock").read_text()
    lines = whole.splitlines(keepends=True)
    lines[3:4] = ["<<<<<<< HEAD\n", lines[3], "=======\n", lines[3], ">>>>>>> theirs\n"]
    for text, message in (
        ("".join(lines), "has the marks of a merge .*`git checkout --ours dvc.lock` or `--theirs`"),
        (whole.replace("  second:", "  second: ]"), r"dvc\.lock, line \d+: .*`git checkout dvc.lock`"),
    ):
        (reproduced / "dvc.lock").write_text(text)
        with pytest.raises(UserError, match=message):
            repair_dvc_state(reproduced)
        assert (reproduced / "dvc.lock").read_text() == text


def test_what_is_replaced_is_kept(reproduced: Path) -> None:
    whole = (reproduced / "dvc.lock").read_bytes()
    for torn in (whole[:-9], bytes(len(whole))):
        (reproduced / "dvc.lock").write_bytes(torn)
        assert str(LOCKFILE_TORN) in repair_dvc_state(reproduced)[0]
        assert (reproduced / LOCKFILE_TORN).read_bytes() == torn
        assert (reproduced / "dvc.lock").read_bytes() == whole
