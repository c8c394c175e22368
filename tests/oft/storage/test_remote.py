"""Objects on S3 are read, listed, continued and fetched whole, and faults say what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oft.errors import DataError
from oft.storage import (
    fetch_remote,
    is_remote,
    list_remote,
    open_remote,
    read_remote,
)


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
