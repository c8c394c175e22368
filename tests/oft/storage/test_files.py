"""Files are written whole or not at all, and faults say what to do."""

from __future__ import annotations

import errno
import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from oft.errors import DataError
from oft.storage import (
    atomic_file,
    atomic_folder,
    flatten,
    read_json,
    require_space,
    sha256_file,
    translate_enospc,
    write_json,
)


def test_a_folder_appears_whole_and_replaces_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for text in ("old", "new"):
        with atomic_folder(target) as partial:
            (partial / text).write_text(text)
            assert not (target / text).exists()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "kept").touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as partial:
        (partial / "half").touch()
        raise KeyboardInterrupt
    assert [path.name for path in target.iterdir()] == ["kept"]
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "stale").touch()
    with atomic_folder(tmp_path / "out") as partial:
        assert list(partial.iterdir()) == []


def test_a_failed_file_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    write_json(target, {"b": 1, "a": "é"})
    with pytest.raises(ValueError, match="stop"), atomic_file(target) as partial:
        partial.write_text("half")
        raise ValueError("stop")
    assert read_json(target) == {"a": "é", "b": 1}
    assert target.read_text(encoding="utf-8").index('"a"') < target.read_text(encoding="utf-8").index('"b"')


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192
    (tmp_path / "data").write_bytes(data)
    assert sha256_file(tmp_path / "data") == hashlib.sha256(data).hexdigest()


def test_room_is_asked_of_the_disk_that_will_hold_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000_000))
    first, second = tmp_path / "not" / "yet", tmp_path
    require_space({first: 400_000_000, second: 600_000_000})
    with pytest.raises(
        DataError, match=f"{first} and {second}: 1.10 GB of room are needed and the disk has 1.00 GB"
    ):
        require_space({first: 500_000_000, second: 600_000_000})


def test_a_full_disk_is_named_and_no_other_fault(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match=f"disk is full: {tmp_path}.* cannot be written; make room"),
        translate_enospc(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), translate_enospc(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_flatten_joins_keys() -> None:
    assert flatten({"a": 1, "b": {"c": 2, "d": {"e": [3]}}}) == {"a": 1, "b.c": 2, "b.d.e": [3]}
