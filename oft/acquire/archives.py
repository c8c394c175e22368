"""Archives from elsewhere are not trusted: every member is checked before a byte is written."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import stat
import struct
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from oft.errors import DataError
from oft.progress import BYTES, progress
from oft.storage import CHUNK_BYTES, require_space, translate_enospc

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
MAX_ENTRIES = 1_000_000
# Pictures hardly shrink and captions shrink fivefold; what grows more is made to fill the disk.
MAX_GROWTH = 20
MIN_BOUND_BYTES = 16 << 20
MAX_NAME_BYTES = 255  # of one folder or file, on every file system in use
# Folders within folders cost time and memory by the square of their number.
MAX_PATH_PARTS = 64
MAX_PATH_BYTES = 1024
MAX_HEADER_BYTES = 64 << 10  # of one member of a tar: names, times, attributes
TAR_MEMBER_BYTES = 2048  # what else it takes: a header, one with a long name, what fills up the last block
ZIP_ENTRY_BYTES = 1024  # of one member in a zip's directory

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,  # names in no encoding, places before the file
    NotImplementedError,  # a way of compressing that Python does not know
    RecursionError,  # headers of headers of headers
)


@dataclass(frozen=True)
class _Member:
    """A file or a folder of an archive; ``kind`` is neither where it is something that is never unpacked."""

    name: str
    kind: str
    size_bytes: int
    open: Callable[[], IO[bytes]]


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked."""
    return name.endswith((".zip", *TAR_SUFFIXES))


def extract(
    archive: Path,
    target: Path,
    top: str = "",
    max_entries: int = MAX_ENTRIES,
    max_bytes: int = sys.maxsize,
    check: Callable[[Mapping[str, int]], object] = lambda _: None,
) -> None:
    """Unpack a zip or tar archive into the folder ``target``; files get plain modes.

    Args:
        archive: the file; its name tells its kind.
        target: an existing folder.
        top: the folder in the archive whose content is taken; every member must lie in it.
        max_entries: the most members that it may have.
        max_bytes: the most that they may have together.
        check: is given the files by their path, with their sizes, before anything is written; what it raises
            is the caller's answer.

    Raises:
        DataError: the archive is damaged, encrypted, or holds what is never unpacked: absolute paths, `..`,
            links, devices, names that are equal, differ in case alone or are too long, more than
            ``max_entries`` members or more than ``max_bytes`` or `MAX_GROWTH` times its own size; or the disk
            is too small.
    """
    bound_bytes = min(max_bytes, max(MAX_GROWTH * archive.stat().st_size, MIN_BOUND_BYTES))
    with _members(archive, bound_bytes, max_entries) as members:
        files = _checked(archive, members, top, bound_bytes, max_entries)
        check({name: member.size_bytes for name, member in files.items()})
        total_bytes = sum(member.size_bytes for member in files.values())
        require_space({target: total_bytes})
        with translate_enospc(target), progress(total_bytes, f"unpacking {archive.name}", BYTES) as bar:
            for name, member in files.items():
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    raise _refusal(archive, name, "is already there from another archive")
                with member.open() as source, path.open("xb") as sink:
                    while chunk := source.read(CHUNK_BYTES):  # both formats stop at the size declared
                        sink.write(chunk)
                        bar.advance(len(chunk))
                if path.stat().st_size != member.size_bytes:
                    raise _refusal(archive, name, "is not as long as it says")


class _BoundedStream(io.BufferedIOBase):
    """A stream that gives what it may and no more, to parsers that believe every length in a header.

    Attributes:
        allowed_bytes: how much may still be read.
    """

    def __init__(self, stream: IO[bytes], allowed_bytes: int, end_bytes: int = sys.maxsize) -> None:
        """Read ``stream``, up to the place ``end_bytes`` at most."""
        self.allowed_bytes = allowed_bytes
        self._stream, self._end_bytes = stream, end_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        most = self.allowed_bytes + 1
        data = self._stream.read(most if size is None or size < 0 else min(size, most))
        self.allowed_bytes -= len(data)
        if self.allowed_bytes < 0:
            raise tarfile.ReadError("its headers are longer than those of any sound one")
        self._require(self._stream.tell())
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_SET:
            self._require(offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def _require(self, place: int) -> None:
        if place > self._end_bytes:
            raise tarfile.ReadError("it goes on for longer than its members need")


@contextmanager
def _members(archive: Path, bound_bytes: int, max_entries: int) -> Iterator[Iterable[_Member]]:
    """Yield what an archive lists; faults of the formats become `DataError`."""
    try:
        if archive.name.endswith(".zip"):
            with archive.open("rb") as raw:
                # Python reads the whole directory at once, and what stands behind it.
                stream = _BoundedStream(raw, max_entries * ZIP_ENTRY_BYTES + CHUNK_BYTES)
                with zipfile.ZipFile(stream) as opened:
                    stream.allowed_bytes = sys.maxsize
                    yield (_zip_member(opened, info) for info in opened.infolist())
        else:
            end_bytes = bound_bytes + max_entries * TAR_MEMBER_BYTES + CHUNK_BYTES
            with archive.open("rb") as raw, _unzipped(raw) as content:
                stream = _BoundedStream(content, MAX_HEADER_BYTES, end_bytes)
                with tarfile.TarFile(fileobj=stream) as tar:
                    yield _tar_members(tar, stream)
                while stream.read(CHUNK_BYTES):
                    pass  # gzip's checksum stands behind all that tar reads
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the disk; damage has no number of its own, or leads beyond the file
        reason = str(error).partition("\n")[0].removesuffix(":")
        raise DataError(f"{archive} is damaged ({reason}); remove it and run again to get it anew") from error


def _unzipped(raw: io.BufferedReader) -> IO[bytes]:
    """Return the bytes of a tar that gzip may have compressed, whatever its name says."""
    is_gzip = raw.peek(2).startswith(b"\x1f\x8b")
    return cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if is_gzip else raw


def _tar_members(tar: tarfile.TarFile, stream: _BoundedStream) -> Iterator[_Member]:
    for info in tar:
        # They are in the member's own fields already; kept with every member, and growing from one to the
        # next, they would fill the memory.
        info.pax_headers = {}
        tar.pax_headers = {}
        stream.allowed_bytes = MAX_HEADER_BYTES
        yield _tar_member(tar, info)
    stream.allowed_bytes = sys.maxsize


def _zip_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
    if info.flag_bits & 0x1:
        kind = "encrypted"
    elif mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "a link or a device"
    else:
        kind = "folder" if info.is_dir() else "file"
    return _Member(info.filename, kind, info.file_size, lambda: opened.open(info))


def _tar_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    kind = "file" if info.isreg() else "folder" if info.isdir() else "a link or a device"

    def content() -> IO[bytes]:
        stream = tar.extractfile(info)
        assert stream is not None, "a regular file has content"
        return stream

    return _Member(info.name, kind, info.size, content)


def _checked(
    archive: Path, members: Iterable[_Member], top: str, bound_bytes: int, max_entries: int
) -> dict[str, _Member]:
    """Return the files of an archive by their path below ``top``, all of them fit to be written."""
    files: dict[str, _Member] = {}
    seen: dict[str, tuple[str, bool, int]] = {}  # name, whether a file, of which member
    total_bytes = 0
    for number, member in enumerate(members, 1):
        if number > max_entries:
            raise _refusal(archive, member.name, f"is one of more than {max_entries} members")
        if member.kind not in ("file", "folder"):
            raise _refusal(archive, member.name, f"is {member.kind}")
        parts = _parts(archive, member.name)
        if top and parts:
            if parts[0] != top:
                raise _refusal(archive, member.name, f"lies outside of its folder {top}")
            parts = parts[1:]
        if member.kind == "file" and not parts:
            raise _refusal(archive, member.name, "has no name")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            is_file = member.kind == "file" and depth == len(parts)
            same = unicodedata.normalize("NFC", name).casefold()
            known = seen.setdefault(same, (name, is_file, number))
            if known[0] != name:
                raise _refusal(archive, member.name, f"and {known[0]} differ in case alone")
            if known[2] != number and (is_file or known[1]):
                raise _refusal(archive, member.name, "stands there twice")
            if is_file:
                files[name] = member
                total_bytes += member.size_bytes
        if total_bytes > bound_bytes:
            raise _refusal(
                archive,
                member.name,
                f"brings it beyond {MAX_GROWTH} times the archive's size or {bound_bytes / 1e6:.0f} MB",
            )
    return files


def _parts(archive: Path, name: str) -> list[str]:
    """Return the folders and the file of a member's name, which may lead nowhere but down."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(parts) > MAX_PATH_PARTS or len(name.encode("utf-8", "surrogateescape")) > MAX_PATH_BYTES:
        raise _refusal(
            archive, name, f"is no path of at most {MAX_PATH_PARTS} parts and {MAX_PATH_BYTES} bytes"
        )
    is_unsafe = (
        name.startswith("/")
        or ".." in parts
        or "\\" in name
        or not name.isprintable()
        or ":" in name
        or any(len(part.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES for part in parts)
    )
    if is_unsafe:
        raise _refusal(archive, name, "has a path that is not safe to write to")
    return parts


def _refusal(archive: Path, member: str, reason: str) -> DataError:
    return DataError(
        f"{archive} is not unpacked: {member[:200]!r} {reason}; remove it and run again to get it anew, or "
        "unpack what you trust of it by hand and set acquire.source to that folder"
    )
