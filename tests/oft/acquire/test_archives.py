"""An archive is unpacked whole, or nothing of what it should not hold is written."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from oft.acquire import archives
from oft.acquire.archives import extract, is_archive
from oft.errors import DataError
from oft.progress import Progress

FILES = {"set/a.txt": b"first", "set/deep/b.bin": bytes(5000), "set/ünicode.txt": b""}
KINDS = ("set.zip", "set.tar", "set.tar.gz", "set.tgz")
Members = list[tuple[str, bytes]]


def pack(path: Path, members: Members) -> Path:
    """Write an archive of the kind that its name tells; names that end in / are folders."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(zipfile.ZipInfo(name), data, compress_type=zipfile.ZIP_DEFLATED)
        return path
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = (
                (tarfile.DIRTYPE, 0) if name.endswith("/") else (tarfile.REGTYPE, len(data))
            )
            archive.addfile(info, io.BytesIO(data))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out" / "target").mkdir(parents=True)
    return tmp_path / "out" / "target"


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_packed_is_unpacked_with_plain_modes(tmp_path: Path, target: Path, kind: str) -> None:
    archive = pack(tmp_path / kind, [("./", b""), ("set/", b""), *FILES.items()])
    extract(archive, target)
    assert contents(target) == FILES
    plain = stat.S_IMODE(archive.stat().st_mode)
    assert {stat.S_IMODE((target / name).stat().st_mode) for name in FILES} == {plain}


@pytest.mark.parametrize("kind", KINDS)
def test_the_content_of_its_folder_can_be_taken_alone(tmp_path: Path, target: Path, kind: str) -> None:
    extract(pack(tmp_path / kind, [("set/", b""), *FILES.items()]), target, top="set")
    assert contents(target) == {name.removeprefix("set/"): data for name, data in FILES.items()}
    astray = pack(tmp_path / f"astray-{kind}", [("set/c", b""), ("elsewhere/c", b"")])
    with pytest.raises(DataError, match="'elsewhere/c' lies outside of its folder set"):
        extract(astray, target, top="set")


UNSAFE_PATH = "has a path that is not safe to write to"
UNSAFE: list[tuple[Members, str]] = [
    ([("fine", b""), ("../evil", b"")], UNSAFE_PATH),
    ([("/evil", b"")], UNSAFE_PATH),
    ([("a/../../evil", b"")], UNSAFE_PATH),
    ([("..\\evil", b"")], UNSAFE_PATH),
    ([("C:evil", b"")], UNSAFE_PATH),
    ([("e\nvil", b"")], UNSAFE_PATH),
    ([("n" * 256, b"")], UNSAFE_PATH),
    ([("a/" * 64 + "b", b"")], "is no path of at most 64 parts and 1024 bytes"),
    ([("/".join(["n" * 200] * 6), b"")], "is no path of at most 64 parts and 1024 bytes"),
    ([("a.txt", b""), ("A.txt", b"")], "'A.txt' and a.txt differ in case alone"),
    ([("img/a", b""), ("IMG/b", b"")], "'IMG/b' and img differ in case alone"),
    ([("a.txt", b"1"), ("./a.txt", b"2")], "'./a.txt' stands there twice"),
    ([("a", b""), ("a/b", b"")], "'a/b' stands there twice"),
    ([("a/b", b""), ("a", b"")], "'a' stands there twice"),
]


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize(("members", "fault"), UNSAFE)
def test_unsafe_names_are_refused_before_anything_is_written(
    tmp_path: Path, target: Path, kind: str, members: Members, fault: str
) -> None:
    archive = pack(tmp_path / kind, members)
    with pytest.raises(DataError, match=f"is not unpacked: .*{fault}.*; remove it"):
        extract(archive, target)
    assert contents(tmp_path) == {kind: archive.read_bytes()}


def test_a_path_as_long_as_it_may_be_is_written(tmp_path: Path, target: Path) -> None:
    names = ["a/" * 63 + "b", "/".join(["n" * 255] * 4)]
    assert [len(name) for name in names] == [127, archives.MAX_PATH_BYTES - 1]
    extract(pack(tmp_path / "set.zip", [(name, b"x") for name in names]), target)
    assert contents(target) == dict.fromkeys(names, b"x")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, target: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match="'link' is a link or a device"):
        extract(tmp_path / "set.tar", target)
    assert list(target.iterdir()) == []


def test_links_in_a_zip_are_refused(tmp_path: Path, target: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="'link' is a link or a device"):
        extract(tmp_path / "set.zip", target)
    assert list(target.iterdir()) == []


def test_encrypted_members_are_refused(tmp_path: Path, target: Path) -> None:
    path = pack(tmp_path / "set.zip", [("a", b"x")])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    path.write_bytes(data)
    with pytest.raises(DataError, match="'a' is encrypted"):
        extract(path, target)


@pytest.mark.parametrize("kind", ["set.zip", "set.tar.gz"])
def test_bombs_are_refused_before_anything_is_written(tmp_path: Path, target: Path, kind: str) -> None:
    bomb = pack(tmp_path / kind, [("fine", b""), ("zeros", bytes(archives.MIN_BOUND_BYTES + 1))])
    with pytest.raises(DataError, match="'zeros' brings it beyond 20 times the archive's size"):
        extract(bomb, target)
    assert list(target.iterdir()) == []


def test_more_members_than_any_data_set_has_are_refused(tmp_path: Path, target: Path) -> None:
    with pytest.raises(DataError, match="'c' is one of more than 2 members"):
        extract(pack(tmp_path / "set.zip", [("a", b""), ("b", b""), ("c", b"")]), target, max_entries=2)


def header(kind: bytes, size_bytes: int = 0, name: str = "a") -> bytes:
    """One member's header in a tar, without what it announces."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size_bytes
    return info.tobuf(tarfile.GNU_FORMAT)


LARGE_BYTES = 64 << 20
SPARSE = bytearray(header(tarfile.GNUTYPE_SPARSE))
SPARSE[482] = 1  # more of its map follows
SPARSE[148:156] = b"%06o\0 " % (sum(SPARSE[:148]) + sum(SPARSE[156:]) + 8 * ord(" "))
MAP = (b"%011o\0" % 1) * 42 + b"\1" + bytes(7)
LONG_HEADERS = {
    "a long name": header(tarfile.GNUTYPE_LONGNAME, LARGE_BYTES) + bytes(LARGE_BYTES),
    "long attributes": header(tarfile.XHDTYPE, LARGE_BYTES) + bytes(LARGE_BYTES),
    "long attributes for all": header(tarfile.XGLTYPE, LARGE_BYTES) + bytes(LARGE_BYTES),
    "names of names": (header(tarfile.GNUTYPE_LONGNAME, 1) + bytes(512)) * 2000,
    "names of names without a name": header(tarfile.GNUTYPE_LONGNAME) * 2000,
    "a map of holes without an end": bytes(SPARSE) + MAP * (LARGE_BYTES // 512),
}


@pytest.mark.parametrize("what", LONG_HEADERS)
def test_headers_without_an_end_are_refused_before_they_fill_the_memory(
    tmp_path: Path, target: Path, what: str
) -> None:
    (tmp_path / "set.tgz").write_bytes(gzip.compress(LONG_HEADERS[what], 1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="headers are longer than those of any sound one"):
            extract(tmp_path / "set.tgz", target)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_attributes_for_all_members_do_not_pile_up(tmp_path: Path, target: Path) -> None:
    with tarfile.open(tmp_path / "set.tgz", "w:gz") as archive:
        for number in range(100):
            records = b"".join(b"%02d g%04d=x\n" % (11, 1000 * number + each) for each in range(1000))
            info = tarfile.TarInfo("x")
            info.type, info.size = tarfile.XGLTYPE, len(records)
            archive.addfile(info, io.BytesIO(records))
            archive.addfile(tarfile.TarInfo(str(number)))
    tracemalloc.start()
    try:
        extract(tmp_path / "set.tgz", target)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert len(contents(target)) == 100


@pytest.mark.parametrize("kind", ["set.tar", "set.tgz"])
def test_what_goes_on_behind_the_last_member_is_not_read_to_its_end(
    tmp_path: Path, target: Path, kind: str
) -> None:
    path = pack(tmp_path / kind, [("a", b"x")])
    if kind == "set.tgz":
        path.write_bytes(path.read_bytes() + gzip.compress(bytes(LARGE_BYTES), 1))
        with pytest.raises(DataError, match="goes on for longer than its members need"):
            extract(path, target, max_entries=10)
    else:  # not compressed it costs who sends it as much as who reads it
        path.write_bytes(path.read_bytes() + bytes(LARGE_BYTES))
        extract(path, target, max_entries=10)
        assert contents(target) == {"a": b"x"}


def test_the_directory_of_a_zip_is_not_read_if_it_is_too_long(tmp_path: Path, target: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for number in range(40):
            info = zipfile.ZipInfo(str(number))
            info.comment = bytes(60_000)
            archive.writestr(info, b"")
    with pytest.raises(DataError, match="headers are longer than those of any sound one"):
        extract(tmp_path / "set.zip", target, max_entries=10)
    extract(tmp_path / "set.zip", target, max_entries=5000)
    assert len(contents(target)) == 40


@pytest.mark.parametrize("way", ["xz", "bz2"])
def test_a_tar_is_compressed_by_gzip_or_not(tmp_path: Path, target: Path, way: str) -> None:
    with tarfile.open(tmp_path / "set.tar", f"w:{way}") as archive:  # type: ignore[call-overload]
        archive.addfile(tarfile.TarInfo("a"))
    with pytest.raises(DataError, match=r"set\.tar is damaged"):
        extract(tmp_path / "set.tar", target)
    pack(tmp_path / "other.tgz", list(FILES.items())).rename(tmp_path / "other.tar")
    extract(tmp_path / "other.tar", target)
    assert contents(target) == FILES


@pytest.mark.parametrize(
    ("said_bytes", "fault"),
    [
        (10, r"is damaged \(Bad CRC-32 for file 'zeros'\)"),
        (100_001, "is not unpacked: 'zeros' is not as long as it says"),
    ],
)
def test_a_member_of_another_size_than_it_says_is_found_out(
    tmp_path: Path, target: Path, said_bytes: int, fault: str
) -> None:
    path = pack(tmp_path / "set.zip", [("zeros", bytes(100_000))])
    data = path.read_bytes().replace((100_000).to_bytes(4, "little"), said_bytes.to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(DataError, match=fault):
        extract(path, target)
    assert all(file.stat().st_size <= said_bytes for file in target.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named(tmp_path: Path, target: Path, kind: str) -> None:
    path = pack(tmp_path / kind, [("a", os.urandom(50_000))])
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "cut": whole[:middle],
        "changed": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "replaced": b"<html>",
    }
    if kind == "set.tar":  # has no checksum
        del damaged["changed"]
    for data in damaged.values():
        path.write_bytes(data)
        (target / "a").unlink(missing_ok=True)
        with pytest.raises(DataError, match=f"{kind} is damaged .*; remove it and run again"):
            extract(path, target)


@pytest.mark.parametrize("kind", ["set.zip", "set.tar", "set.tgz"])
def test_an_archive_with_wrong_bytes_is_unpacked_or_refused(tmp_path: Path, kind: str) -> None:
    sound = pack(tmp_path / kind, list(FILES.items())).read_bytes()
    refused = 0
    for case in range(300):
        rng = np.random.default_rng(case)
        damaged = bytearray(sound)
        first = len(sound) - 400 if kind == "set.zip" and case % 2 else 0  # a zip's directory is at its end
        for place in rng.integers(first, len(sound), 3):
            damaged[place] = rng.integers(256)
        (tmp_path / kind).write_bytes(damaged)
        target = tmp_path / str(case)
        target.mkdir()
        try:
            extract(tmp_path / kind, target)
        except DataError:
            refused += 1
        assert len(contents(target)) <= len(FILES)
    assert refused > 30


def test_what_another_archive_brought_is_not_overwritten(tmp_path: Path, target: Path) -> None:
    archive = pack(tmp_path / "set.zip", [("a", b"1")])
    extract(archive, target)
    with pytest.raises(DataError, match="'a' is already there from another archive"):
        extract(archive, target)


def test_a_disk_too_small_is_told_before_and_while_unpacking(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "set.zip", list(FILES.items()))
    with monkeypatch.context() as patch, pytest.raises(DataError, match="GB of room are needed"):
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5004))
        extract(archive, target)
    assert list(target.iterdir()) == []

    def fail(self: Progress, count: int = 1) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Progress, "advance", fail)
    with pytest.raises(DataError, match=f"the disk is full: {target}"):
        extract(archive, target)


def test_archives_are_told_by_their_names() -> None:
    assert all(is_archive(kind) for kind in KINDS)
    assert not is_archive("train.jsonl")
