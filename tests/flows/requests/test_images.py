"""Pictures of a request: from wherever they come, what is no sound picture is refused with the reason."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.requests import sources
from flows.requests.images import collect_images
from flows.requests.kinds.subject import CLASS_IMAGES, INSTANCE_IMAGES
from flows.requests.site import Site
from oft.errors import DataError
from oft.storage import sha256_file

from .conftest import WebServer, picture, zipped

Files = dict[str, bytes]


def bring(source: object, tmp_path: Path, site: Site, resolution_px: int = 64) -> list[Path]:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return collect_images(str(source), resolution_px, folder, site, INSTANCE_IMAGES)


def tarred(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def named(files: Files) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The members of a tar."""
    return ((tarfile.TarInfo(name), content) for name, content in files.items())


def header_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no picture."""
    parts = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(b"")}
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_the_same_pictures_come_in_the_same_order_from_everywhere(
    tmp_path: Path, pictures: Files, site: Site, web: WebServer, s3: Any
) -> None:
    shuffled = {f"other/{9 - index}.PNG": content for index, content in enumerate(pictures.values())}
    hidden = {"__MACOSX/robot/._a.png": b"x", "robot/.DS_Store": b"x"}
    (tmp_path / "folder" / "other").mkdir(parents=True)
    for name, content in shuffled.items():
        (tmp_path / "folder" / name).write_bytes(content)
        s3.put_object(Bucket="bucket", Key=f"trainings/folder/{name}", Body=content)
    (tmp_path / "a.zip").write_bytes(zipped(pictures | hidden))
    (tmp_path / "a.tar.gz").write_bytes(tarred(list(named(shuffled))))
    s3.put_object(Bucket="bucket", Key="trainings/a.zip", Body=zipped(pictures))
    web.answer = lambda _: (200, {}, zipped(pictures))
    trusting = site._replace(hosts=frozenset({web.authority}))
    sources = [
        tmp_path / "folder", tmp_path / "a.zip", tmp_path / "a.tar.gz", f"{web.url}/a.zip?signature=x",
        f"{web.url}/a.zip#v1",
        "s3://bucket/trainings/a.zip", "s3://bucket/trainings/folder",
    ]  # fmt: skip
    expected = sorted(pictures.values(), key=lambda content: zlib.crc32(content))
    for number, source in enumerate(sources):
        (tmp_path / str(number)).mkdir()
        found = bring(source, tmp_path / str(number), trusting)
        assert sorted((path.read_bytes() for path in found), key=zlib.crc32) == expected
        assert [sha256_file(path) for path in found] == sorted(sha256_file(path) for path in found)


LINK = zipfile.ZipInfo("link.png")
LINK.external_attr = (stat.S_IFLNK | 0o777) << 16


def zip_with(info: zipfile.ZipInfo | str, content: bytes = b"/etc/passwd") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, content)
    return stream.getvalue()


def tar_with(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return tarred([(info, b"x" if kind == tarfile.REGTYPE else b"")])


HOSTILE: list[tuple[str, bytes, str]] = [
    ("a.zip", zip_with("../up.png"), "is not safe to write to"),
    ("a.zip", zip_with("/etc/cron.d/up.png"), "is not safe to write to"),
    ("a.zip", zip_with("C:\\up.png"), "is not safe to write to"),
    ("a.zip", zip_with(LINK), "is a link or a device"),
    ("a.zip", zip_with("bomb.png", bytes(64 << 20)), "beyond 20 times the archive's size"),
    ("a.zip", zipped({f"{n}.png": b"" for n in range(1001)}), "is one of more than 1000 members"),
    ("a.zip", b"no zip at all", "is damaged"),
    ("a.zip", b"", "is damaged"),
    ("a.tar.gz", tar_with("../up.png"), "is not safe to write to"),
    ("a.tar.gz", tar_with("link.png", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
    ("a.tar.gz", tar_with("link.png", tarfile.LNKTYPE, "/etc/passwd"), "is a link or a device"),
    ("a.tar.gz", tar_with("device.png", tarfile.CHRTYPE), "is a link or a device"),
    ("a.tar.gz", tar_with("pipe.png", tarfile.FIFOTYPE), "is a link or a device"),
    ("a.zip", zipped({}), "there are 0 pictures; give 3 to 100"),
    ("a.zip", zipped({"a.png": picture(0), "b.png": picture(1)}), "there are 2 pictures; give 3 to 100"),
    ("a.zip", zipped({f"{n}.png": b"x" for n in range(101)}), "there are more than 100 files"),
    ("a.zip", zipped({"notes.txt": b"rm -rf /"}), "'notes.txt' is no picture"),
    ("a.zip", zipped({f"{n}.sh": b"rm -rf /" for n in "abc"}), "not a picture that can be decoded"),
    (
        "a.zip",
        zipped({f"{n}.png": header_of(40_000, 25_000) for n in "abc"}),
        "a.png: has more than 64 megapixels",
    ),
    (
        "a.zip",
        zipped({f"{n}.png": header_of(8_001, 8_000) for n in "abc"}),
        "8001 x 8000 pixels, more than 64",
    ),
    ("a.zip", zipped({f"{n}.png": b"#!/bin/sh" for n in "abc"}), "3 of 3 pictures cannot be used"),
    ("a.zip", zipped({f"{n}.jpg": b"<svg/>" for n in "abc"}), "a format that is not read here"),
    ("a.zip", zipped({f"{n}.png": picture(0)[:2000] for n in "abc"}), "pictures cannot be used"),
    ("a.zip", zipped({f"{n}.png": picture(0, 63) for n in "abc"}), "has 63 x 63 pixels; the shorter side"),
]


@pytest.mark.parametrize(("name", "content", "said"), HOSTILE, ids=[said for *_, said in HOSTILE])
def test_a_hostile_archive_is_refused_and_nothing_leaves_its_folder(
    tmp_path: Path, site: Site, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        bring(tmp_path / name, tmp_path, site)
    message = str(raised.value)
    assert message.startswith("instance_images: ") and said in message
    assert "acquire.source" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["downloads", name])


@pytest.mark.parametrize("pack", [zipped, lambda files: tarred(list(named(files)))], ids=["zip", "tar"])
@pytest.mark.parametrize(
    ("limit", "most", "said"),
    [
        ("MAX_UNPACKED_BYTES", 2999, "beyond 20 times the archive's size or 0 MB"),
        ("MAX_IMAGE_BYTES", 999, "has 0.0 MB; the most is 0 MB"),
    ],
)
def test_an_archive_is_refused_from_its_listing(
    pack: Callable[[Files], bytes],
    limit: str,
    most: int,
    said: str,
    tmp_path: Path,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before its files fill the disk."""
    suffix = ".zip" if pack is zipped else ".tar.gz"
    (tmp_path / f"a{suffix}").write_bytes(pack({f"{name}.png": bytes(1000) for name in "abc"}))
    monkeypatch.setattr(sources, limit, most)
    with pytest.raises(DataError, match=said):
        bring(tmp_path / f"a{suffix}", tmp_path, site)
    assert list((tmp_path / "downloads" / "unpacked").iterdir()) == []


def test_class_pictures_pass_the_same_checks_in_another_number(
    tmp_path: Path, site: Site, pictures: Files
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"robot/a.png": pictures["robot/a.png"]}))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    [found] = collect_images(str(tmp_path / "a.zip"), 64, tmp_path / "one", site, CLASS_IMAGES)
    assert found.read_bytes() == pictures["robot/a.png"]
    (tmp_path / "b.zip").write_bytes(zipped({f"{n}.png": b"" for n in range(1001)}))
    with pytest.raises(DataError, match="class_images: there are more than 1000 files; give 1 to 1000"):
        collect_images(str(tmp_path / "b.zip"), 64, tmp_path / "two", site, CLASS_IMAGES)


def test_a_folder_with_a_link_is_refused(tmp_path: Path, site: Site, pictures: Files) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for index, content in enumerate(pictures.values()):
        (folder / f"{index}.png").write_bytes(content)
    (folder / "link.png").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match=r"'link\.png' is a link or a device"):
        bring(folder, tmp_path, site)
    (folder / "link.png").unlink()
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(DataError, match=r"'pipe\.png' is a link or a device"):
        collect_images(str(folder), 64, tmp_path / "downloads", site, INSTANCE_IMAGES)


def test_a_folder_below_that_may_not_be_read_is_refused_and_not_passed_over(
    tmp_path: Path, site: Site, pictures: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    (folder / "closed").mkdir(parents=True)
    for name, content in pictures.items():
        (folder / Path(name).name).write_bytes(content)
    scan = os.scandir

    def deny(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(
        DataError, match=r"^instance_images: 'closed' cannot be read: Permission denied; give"
    ):
        bring(folder, tmp_path, site)


def test_an_archive_that_may_not_be_read_is_refused(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(b"")

    def deny(source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(source))

    monkeypatch.setattr(shutil, "copyfile", deny)
    with pytest.raises(DataError, match=r"this path on the server cannot be read: Permission denied; give"):
        bring(tmp_path / "a.zip", tmp_path, site)


def test_a_file_or_an_archive_that_is_too_large_is_refused(
    tmp_path: Path, site: Site, pictures: Files, monkeypatch: pytest.MonkeyPatch, s3: Any, web: WebServer
) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped(pictures))
    s3.put_object(Bucket="bucket", Key="trainings/a.zip", Body=archive.read_bytes())
    s3.put_object(Bucket="bucket", Key="trainings/folder/a.png", Body=picture(0))
    web.answer = lambda _: (200, {}, archive.read_bytes())
    trusting = site._replace(hosts=frozenset({web.authority}))
    monkeypatch.setattr(sources, "MAX_IMAGE_BYTES", 1000)
    for number, source in enumerate([archive, "s3://bucket/trainings/folder"]):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(DataError, match=r"\.png has 0\.0 MB; the most is 0 MB"):
            bring(source, tmp_path / str(number), trusting)
    monkeypatch.setattr(sources, "MAX_ARCHIVE_BYTES", 1000)
    for number, source in enumerate([archive, "s3://bucket/trainings/a.zip", f"{web.url}/a.zip"], 2):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(DataError, match=r"the most is 0 MB|larger than 0 MB"):
            bring(source, tmp_path / str(number), trusting)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://bucket/trainings/missing.zip", "there is no such object"),
        ("s3://bucket/trainings/missing", "there are 0 pictures"),
        ("/nowhere/at/all", "there is no folder"),
        (f"/{'x' * 300}", "cannot be read: File name too long"),
    ],
)
def test_a_missing_source_of_pictures_is_reported(
    tmp_path: Path, site: Site, s3: Any, source: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        bring(source, tmp_path, site)
