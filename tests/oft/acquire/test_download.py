"""Whatever a server does, a download ends with the right file, or with none and what has come kept."""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oft.acquire import download as module
from oft.acquire import transports
from oft.acquire.download import MAX_FAILURES, download
from oft.acquire.sources import Archive
from oft.errors import DataError
from oft.progress import Progress
from oft.storage import write_json
from tests.loopback import FileServer, Handler, cut, status

DATA = bytes(range(256)) * 40
HALF = len(DATA) // 2
OTHER = bytes(reversed(DATA))


def archive(data: bytes = DATA, **changes: Any) -> Archive:
    """A file of which size and checksum are published."""
    known = {
        "name": "set.bin",
        "address": "http://official.example/set.bin",
        "size_bytes": len(data),
        "checksum": f"sha256:{hashlib.sha256(data).hexdigest()}",
    }
    return Archive(**{**known, **changes})


ROUGH = archive(size_is_exact=False, checksum=None)


class Sleeps(list[float]):
    """Waits that are noted instead of waited."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".downloads" / "set"


@pytest.fixture
def address(server: FileServer) -> str:
    server.files["/set.bin"] = DATA
    return f"{server.address}/set.bin"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_is_all_that_stays(address: str, folder: Path, server: FileServer) -> None:
    assert download(archive(), address, folder) == folder / "set.bin"
    assert (folder / "set.bin").read_bytes() == DATA
    assert names(folder) == ["set.bin"]
    download(archive(), address, folder)
    assert server.ranges("/set.bin") == [None]


def test_a_cut_connection_is_continued_where_it_ended(
    address: str, folder: Path, server: FileServer, sleeps: Sleeps
) -> None:
    server.faults["/set.bin"] = [cut(HALF)]
    download(archive(), address, folder, sleeps)
    assert (folder / "set.bin").read_bytes() == DATA
    assert server.ranges("/set.bin") == [None, f"bytes={HALF}-"]
    assert sleeps == [1.0]


def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_is_continued_by_the_next(address: str, folder: Path, server: FileServer) -> None:
    server.faults["/set.bin"] = [cut(HALF)]
    with pytest.raises(KeyboardInterrupt):
        download(archive(), address, folder, interrupt)
    assert names(folder) == ["set.bin.part", "set.bin.part.json"]
    assert (folder / "set.bin.part").read_bytes() == DATA[:HALF]
    download(archive(), address, folder)
    assert (folder / "set.bin").read_bytes() == DATA
    assert server.ranges("/set.bin") == [None, f"bytes={HALF}-"]


def test_what_is_whole_is_not_asked_for_again(address: str, folder: Path, server: FileServer) -> None:
    server.faults["/set.bin"] = [cut(HALF)]
    with pytest.raises(KeyboardInterrupt):
        download(ROUGH, address, folder, interrupt)
    (folder / "set.bin.part").write_bytes(DATA)  # killed before it got its name
    download(ROUGH, address, folder)
    assert (folder / "set.bin").read_bytes() == DATA and len(server.asked) == 1


def without_range(handler: Handler, data: bytes) -> None:
    handler.answer(200, {}, data)


def wrong_range(handler: Handler, data: bytes) -> None:
    handler.answer(206, {"Content-Range": f"bytes 9-{len(data) - 1}/{len(data)}"}, data[9:])


def range_of_another_version(handler: Handler, data: bytes) -> None:
    span = f"bytes {HALF}-{len(data) - 1}/{len(data)}"
    handler.answer(206, {"Content-Range": span, "ETag": '"other"'}, OTHER[HALF:])


@pytest.mark.parametrize(
    ("fault", "requests"),
    [(without_range, 2), (wrong_range, 3), (range_of_another_version, 3), (status(416), 3)],
)
def test_a_server_that_cannot_continue_sends_all_anew(
    address: str, folder: Path, server: FileServer, sleeps: Sleeps, fault: Any, requests: int
) -> None:
    server.faults["/set.bin"] = [cut(HALF), fault]
    download(ROUGH, address, folder, sleeps)
    assert (folder / "set.bin").read_bytes() == DATA
    assert len(server.asked) == requests


@pytest.mark.parametrize("tag", [{}, {"ETag": 'W/"weak"'}])
def test_what_names_no_version_is_never_continued(
    address: str, folder: Path, server: FileServer, sleeps: Sleeps, tag: dict[str, str]
) -> None:
    server.faults["/set.bin"] = [lambda handler, data: handler.answer(200, tag, data[:HALF], len(data))]
    download(ROUGH, address, folder, sleeps)
    assert (folder / "set.bin").read_bytes() == DATA
    assert server.ranges("/set.bin") == [None, None]


def test_versions_are_not_spliced(address: str, folder: Path, server: FileServer) -> None:
    server.faults["/set.bin"] = [cut(HALF)]
    with pytest.raises(KeyboardInterrupt):
        download(ROUGH, address, folder, interrupt)
    server.files["/set.bin"] = OTHER
    download(ROUGH, address, folder)
    assert (folder / "set.bin").read_bytes() == OTHER


def test_what_cannot_be_told_is_not_continued(address: str, folder: Path, server: FileServer) -> None:
    folder.mkdir(parents=True)
    (folder / "set.bin.part").write_bytes(b"?" * 10)
    (folder / "set.bin.part.json").touch()
    download(ROUGH, address, folder)
    assert (folder / "set.bin").read_bytes() == DATA


def test_addresses_are_not_spliced(address: str, folder: Path, server: FileServer) -> None:
    server.faults["/set.bin"] = [cut(HALF)]
    with pytest.raises(KeyboardInterrupt):
        download(ROUGH, address, folder, interrupt)
    server.files["/mirror/set.bin"] = OTHER
    download(ROUGH, f"{server.address}/mirror/set.bin", folder)
    assert (folder / "set.bin").read_bytes() == OTHER
    assert server.ranges("/mirror/set.bin") == [None]


def test_a_busy_server_is_asked_again_when_it_says(
    address: str, folder: Path, server: FileServer, sleeps: Sleeps, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults["/set.bin"] = [
        status(503, Retry_After="7"),
        status(429, Retry_After="soon"),
        status(500),
        status(503, Retry_After="86400"),
    ]
    download(archive(), address, folder, sleeps)
    assert sleeps == [7.0, 2.0, 4.0, 600.0]
    assert f"set.bin: {address}: 503 Service Unavailable; trying again in 7 s" in capsys.readouterr().out


def test_a_server_that_stays_silent_is_asked_again(
    address: str, folder: Path, server: FileServer, sleeps: Sleeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "TIMEOUT_SECONDS", (1.0, 0.2))
    monkeypatch.setattr(transports, "CHUNK_BYTES", HALF // 2)

    def fall_silent(handler: Handler, data: bytes) -> None:
        cut(HALF)(handler, data)
        handler.wfile.flush()
        time.sleep(0.5)

    server.faults["/set.bin"] = [fall_silent]
    download(archive(), address, folder, sleeps)
    assert server.ranges("/set.bin") == [None, f"bytes={HALF}-"]


def test_tries_that_bring_nothing_end_and_keep_what_came(
    address: str, folder: Path, server: FileServer, sleeps: Sleeps
) -> None:
    server.faults["/set.bin"] = [cut(100), *(status(502) for _ in range(MAX_FAILURES))]
    with pytest.raises(DataError, match=r"502 Bad Gateway \(6 tries\); what has come is kept") as raised:
        download(archive(), address, folder, sleeps)
    assert sleeps == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert f"get http://official.example/set.bin by hand and put it at {folder}/set.bin" in str(raised.value)
    assert (folder / "set.bin.part").read_bytes() == DATA[:100]


def test_a_connection_cut_at_the_same_place_each_time_ends(
    address: str, folder: Path, server: FileServer, sleeps: Sleeps
) -> None:
    server.faults["/set.bin"] = [
        lambda handler, data: handler.answer(200, {}, data[:HALF], len(data)) for _ in range(20)
    ]
    with pytest.raises(DataError, match="the connection was cut"):
        download(ROUGH, address, folder, sleeps)
    assert len(server.asked) == MAX_FAILURES


def test_a_server_out_of_reach_is_named(folder: Path, server: FileServer, sleeps: Sleeps) -> None:
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/set.bin: no connection \(6 tries\)"):
        download(archive(), "http://127.0.0.1:9/set.bin", folder, sleeps)


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_refusal_is_final_and_says_what_to_do(
    address: str, folder: Path, server: FileServer, sleeps: Sleeps, code: int
) -> None:
    server.faults["/set.bin"] = [status(code)]
    with pytest.raises(DataError) as raised:
        download(archive(), address, folder, sleeps)
    for part in (
        "set.bin",
        f"{address}: the server refuses it ({code} ",
        "acquire.mirror",
        f"{folder}/set.bin",
    ):
        assert part in str(raised.value)
    assert sleeps == [] and len(server.asked) == 1


def test_another_size_than_published_is_refused_before_it_comes(
    address: str, folder: Path, server: FileServer
) -> None:
    server.files["/set.bin"] = DATA + b"x"
    with pytest.raises(DataError, match=f"has {len(DATA) + 1} bytes and set.bin must have {len(DATA)}"):
        download(archive(), address, folder)
    assert names(folder) == []


def test_a_wrong_checksum_removes_the_file_and_the_next_run_begins_anew(
    address: str, folder: Path, server: FileServer
) -> None:
    server.files["/set.bin"] = OTHER
    with pytest.raises(DataError, match=r"has sha256 [0-9a-f]{64} and must have .* is removed; run again"):
        download(archive(), address, folder)
    assert names(folder) == []
    server.files["/set.bin"] = DATA
    download(archive(), address, folder)
    assert server.ranges("/set.bin") == [None, None]


def test_a_page_in_place_of_a_zip_archive_is_refused(folder: Path, server: FileServer) -> None:
    server.files["/set.zip"] = b"<html>Please log in</html>"
    rough = archive(name="set.zip", size_is_exact=False, checksum=None)
    with pytest.raises(DataError, match="is no zip archive, and is removed"):
        download(rough, f"{server.address}/set.zip", folder)


def chunked(data: bytes, end: bytes) -> Any:
    def fault(handler: Handler, _data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n%s" % (len(data), data, end))

    return fault


def test_a_file_of_unknown_length_is_taken_whole_or_not_at_all(
    address: str, folder: Path, server: FileServer, sleeps: Sleeps
) -> None:
    whole, ended_early = chunked(DATA, b"0\r\n\r\n"), chunked(DATA[:HALF], b"")
    server.faults["/set.bin"] = [ended_early, whole]
    download(ROUGH, address, folder, sleeps)
    assert (folder / "set.bin").read_bytes() == DATA


def test_a_file_without_end_is_stopped(address: str, folder: Path, server: FileServer) -> None:
    server.faults["/set.bin"] = [chunked(DATA * 11, b"0\r\n\r\n")]
    with pytest.raises(DataError, match=r"sends more than set\.bin can have"):
        download(ROUGH, address, folder)


def test_a_download_made_by_hand_is_verified_and_taken(
    address: str, folder: Path, server: FileServer
) -> None:
    folder.mkdir(parents=True)
    (folder / "set.bin").write_bytes(DATA)
    assert download(archive(), address, folder).read_bytes() == DATA
    for wrong, fault in ((OTHER, "has sha256 "), (b"half", f"has 4 bytes and must have {len(DATA)}")):
        (folder / "set.bin").write_bytes(wrong)
        with pytest.raises(DataError, match=rf"set\.bin {fault}.*; remove it and run again to download it"):
            download(archive(), address, folder)
        assert (folder / "set.bin").read_bytes() == wrong
    assert server.asked == []


def test_too_small_a_disk_is_told_before_the_first_byte(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=len(DATA) - 1))
    with pytest.raises(DataError, match="GB of room are needed"):
        download(archive(), address, folder)
    assert names(folder) == []


def test_a_disk_that_fills_up_is_named_and_the_download_goes_on_when_there_is_room(
    address: str, folder: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "CHUNK_BYTES", 1000)

    class FullDisk(Progress):
        def advance(self, count: int = 1) -> None:
            super().advance(count)
            if self.done == 3000:
                raise OSError(errno.ENOSPC, "No space left on device")

    with (
        monkeypatch.context() as patch,
        pytest.raises(DataError, match=r"disk is full: .*set.bin.part cannot"),
    ):
        patch.setattr("oft.progress.Progress", FullDisk)
        download(archive(), address, folder)
    assert (folder / "set.bin.part").read_bytes() == DATA[:3000]
    download(archive(), address, folder)
    assert (folder / "set.bin").read_bytes() == DATA
    assert server.ranges("/set.bin") == [None, "bytes=3000-"]


def test_a_copy_from_a_folder_or_from_s3_is_continued_too(
    tmp_path: Path, folder: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror of sets").mkdir()
    (tmp_path / "mirror of sets" / "set.bin").write_bytes(DATA)
    s3.put_object(Bucket="bucket", Key="mirror/set.bin", Body=DATA)
    started = []

    def open_address(*arguments: Any) -> Any:
        started.append(arguments[1])
        return transports.open_address(*arguments)

    monkeypatch.setattr(module, "open_address", open_address)
    for address in ((tmp_path / "mirror of sets" / "set.bin").as_uri(), "s3://bucket/mirror/set.bin"):
        with transports.open_address(address) as stream:
            version = stream.version
        folder.mkdir(parents=True)
        (folder / "set.bin.part").write_bytes(b"?" * 10)  # would be seen if all came anew
        state = {"address": address, "version": version, "total_bytes": len(DATA), "sha256": None}
        write_json(folder / "set.bin.part.json", state)
        download(ROUGH, address, folder)
        assert (folder / "set.bin").read_bytes() == b"?" * 10 + DATA[10:]
        shutil.rmtree(folder)
    assert started == [10, 10]
