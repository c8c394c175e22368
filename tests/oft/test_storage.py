"""Files are written whole or not at all, from S3 too, and faults say what to do."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oft.errors import DataError
from oft.storage import (
    atomic_file,
    atomic_folder,
    fetch_remote,
    full_disk_named,
    is_remote,
    list_remote,
    open_remote,
    read_json,
    read_remote,
    require_space,
    sha256_file,
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
        full_disk_named(tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), full_disk_named(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_remote_addresses_are_told_from_paths() -> None:
    assert is_remote("s3://bucket/key")
    assert not is_remote("data/s3") and not is_remote(Path("data"))


def test_an_object_is_read_listed_and_fetched_whole(s3: Any, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4
    for key in ("set/b/1.tar", "set/a", "other/a"):
        s3.put_object(Bucket="bucket", Key=key, Body=data)
    s3.put_object(Bucket="bucket", Key="set/b/")
    assert read_remote("s3://bucket/set/a") == data
    assert list_remote("s3://bucket/set") == {"a": 1024, "b/1.tar": 1024} == list_remote("s3://bucket/set/")
    assert list_remote("s3://bucket/se") == {}
    assert sorted(list_remote("s3://bucket")) == ["other/a", "set/a", "set/b/1.tar"]
    fetch_remote("s3://bucket/set/b/1.tar", tmp_path / "shards" / "1.tar")
    assert (tmp_path / "shards" / "1.tar").read_bytes() == data


def test_an_object_is_continued_where_it_is_the_same_and_begun_anew_where_not(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="a", Body=b"0123456789")
    with open_remote("s3://bucket/a") as stream:
        assert (stream.start_bytes, stream.total_bytes, b"".join(stream.chunks)) == (0, 10, b"0123456789")
        version = stream.version
    cases: list[tuple[int, str | None, int]] = [
        (4, version, 4),
        (4, None, 0),
        (10, version, 0),
        (4, '"x"', 0),
    ]
    for start, known, begun in cases:
        with open_remote("s3://bucket/a", start, known) as stream:
            assert (stream.start_bytes, stream.total_bytes, stream.version) == (begun, 10, version)
            assert b"".join(stream.chunks) == b"0123456789"[begun:]


REMOTE_READS: tuple[Callable[[str, Path], object], ...] = (
    lambda url, target: read_remote(url),
    lambda url, target: fetch_remote(url, target),
    lambda url, target: open_remote(url).__enter__(),
)


@pytest.mark.parametrize("read", REMOTE_READS)
def test_what_is_missing_or_refused_on_s3_says_what_to_do(
    read: Callable[[str, Path], object], s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"before")
    for url in ("s3://bucket/none", "s3://no-bucket/a"):
        with pytest.raises(DataError, match=f"{url}: there is no such object or bucket"):
            read(url, target)
    with pytest.raises(DataError, match="without credentials") as raised:
        read("s3://user:secret@bucket/a", target)
    assert "secret" not in str(raised.value)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DataError, match=r"cannot be read: Partial credentials .* never in params"):
        read("s3://bucket/a", target)
    assert [path.name for path in tmp_path.iterdir()] == ["target"] and target.read_bytes() == b"before"


def test_an_endpoint_that_is_no_address_is_named(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")
    with pytest.raises(DataError, match="AWS_ENDPOINT_URL must be the address of an S3 server"):
        read_remote("s3://bucket/a")


def test_an_s3_server_out_of_reach_is_a_fault_that_may_pass(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(DataError, match="check the network and AWS_ENDPOINT_URL"):
        fetch_remote("s3://bucket/a", tmp_path / "a")
    with pytest.raises(ConnectionError), open_remote("s3://bucket/a"):
        pass
