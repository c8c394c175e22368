from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from flows.commands import run_dvc
from flows.graph import open_repository
from flows.reproduce import repair_outs as repairing
from flows.reproduce.plan import make_plan
from flows.reproduce.repair_outs import repair_outs
from oft.errors import UserError
from tests.flows.conftest import MakeRepository

STAGES = """
stages:
  folder:
    cmd: mkdir -p many && cat source.txt > many/one && echo two > many/two
    deps: [source.txt]
    outs: [many]
  file:
    cmd: cat many/one > last
    deps: [many]
    outs: [last]
"""


@pytest.fixture
def made(make_repository: MakeRepository) -> Path:
    """A repository with a folder and a file among its outs, both in the cache."""
    root = make_repository(STAGES)
    assert run_dvc(["repro"], root=root, log=print).exit_code == 0
    return root


def objects(root: Path) -> dict[str, Path]:
    """The objects of the cache by the out, or what of it, that they hold."""
    found = {path.parent.name + path.name: path for path in (root / ".dvc/cache/files/md5").glob("*/*")}
    names = {name: hashlib.md5((root / name).read_bytes()).hexdigest() for name in ("many/two", "last")}
    (listed,) = (path for name, path in found.items() if name.endswith(".dir"))
    return {"many": listed, **{name: found[oid] for name, oid in names.items()}}


def damage(path: Path, content: bytes = b"") -> None:
    """Leave a file as a power cut does: there, read-only, and empty."""
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def test_nothing_is_touched_where_all_is_well(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if ".dvc/tmp" not in str(path)}
    assert repair_outs(made) == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("name", "content"), [("many", b""), ("many", b"[]"), ("many", b"\0\0"), ("many/two", b""), ("last", b"")]
)
def test_a_damaged_object_is_written_anew_from_the_workspace(made: Path, name: str, content: bytes) -> None:
    path = objects(made)[name]
    before = path.read_bytes()
    damage(path, content)
    said = repair_outs(made)
    assert "damaged object of" in said[0] and "to DVC's cache anew" in said[1]
    assert path.read_bytes() == before
    assert not make_plan(made).stale
    assert repair_outs(made) == []


def test_what_the_workspace_lacks_too_is_made_again(made: Path) -> None:
    path = objects(made)["many"]
    damage(path)
    shutil.rmtree(made / "many")
    assert len(repair_outs(made)) == 1
    assert "folder" in make_plan(made).changed
    assert run_dvc(["repro"], root=made, log=print).exit_code == 0
    assert (made / "many/two").read_text() == "two\n" and path.read_bytes()
    assert not make_plan(made).stale


def test_links_to_a_cleaned_cache_and_pipes_are_removed_and_named(made: Path) -> None:
    with open_repository(made) as repo, repo.config.edit("local") as config:
        config["cache"] = {"type": ["symlink"]}
    for name in ("last", "many/two"):
        kept = objects(made)[name]
        (made / name).unlink()
        (made / name).symlink_to(kept)
    shutil.rmtree(made / ".dvc/cache")
    os.mkfifo(made / "many/pipe")
    said = repair_outs(made)
    assert any("many/two" in line and "last" in line and "files that are gone" in line for line in said)
    assert any("many/pipe" in line and "hold no data" in line for line in said)
    assert {"folder", "file"} == set(make_plan(made).changed)
    assert run_dvc(["repro"], root=made, log=print).exit_code == 0
    assert (made / "last").read_text() == "source" and not make_plan(made).stale


def test_a_cache_whose_disk_is_not_there_is_no_reason_to_remove_links(made: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-disk"
    with open_repository(made) as repo, repo.config.edit("local") as config:
        config["cache"] = {"dir": str(elsewhere)}
    (made / "last").unlink()
    (made / "last").symlink_to(elsewhere / "files/md5/ab/cd")
    with pytest.raises(
        UserError, match=r"cache .* is missing, and outs link to it, such as .*last; mount its"
    ):
        repair_outs(made)
    assert (made / "last").is_symlink()


def test_what_killed_transfers_left_goes_once_nobody_writes_to_it(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = objects(made)["last"].parent / ".bm9ib2R5J3Mga2V5.tmp"
    left.write_bytes(b"x" * 1000)
    assert repair_outs(made) == [] and left.exists()  # somebody may be at it
    monkeypatch.setattr(repairing, "LEFTOVER_SECONDS", -60.0)
    assert "1 unfinished files" in repair_outs(made)[0]
    assert not left.exists()
