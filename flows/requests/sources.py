"""Fetch the files of a request's pictures from wherever they lie; what no request may have is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from flows.requests.addresses import parse_endpoint
from flows.requests.site import Site
from flows.requests.web import download
from oft.acquire.archives import MAX_NAME_BYTES, MAX_PATH_PARTS, extract, is_archive
from oft.datasets.image_folder import SIDECAR_SUFFIXES
from oft.datasets.layout import is_picture
from oft.errors import DataError
from oft.storage import fetch_remote, is_remote, list_remote, translate_enospc
from oft.storage.remote import stat_remote

MAX_IMAGE_BYTES = 32 << 20
MAX_ARCHIVE_BYTES = 512 << 20
MAX_UNPACKED_BYTES = 2 * MAX_ARCHIVE_BYTES
"""Of all files together, from wherever they come: pictures hardly shrink in an archive."""
MAX_DOWNLOAD_SECONDS = 600.0
MAX_CAPTION_BYTES = 64 << 10
MAX_LISTING_BYTES = 4 << 20
"""Of a text file beside a picture, and of the metadata file of all: a thousand long captions are 2 MB."""

LISTINGS = ("metadata.jsonl", "metadata.csv")


class Wanted(NamedTuple):
    """What pictures a parameter of a request takes.

    Attributes:
        key: the parameter.
        fewest: and ``most``: how many.
        captioned: files with captions may lie beside them.
        conditioned: a conditioning picture comes with each.
    """

    key: str
    fewest: int
    most: int
    captioned: bool = False
    conditioned: bool = False

    @property
    def max_pictures(self) -> int:
        """The most files that are pictures."""
        return 2 * self.most if self.conditioned else self.most

    @property
    def max_members(self) -> int:
        """The most files: beside pictures an archive has folders, and the metadata files of a Mac."""
        return 10 * self.most


class Found(NamedTuple):
    """Files of a request: their names below a folder."""

    top: Path
    names: list[str]

    @property
    def paths(self) -> list[Path]:
        """Where they lie."""
        return [self.top / name for name in self.names]


def fetch_files(source: str, folder: Path, site: Site, wanted: Wanted) -> Found:
    """Return the files of a source, none of them hidden, a link or too large.

    Args:
        source: a folder or an archive: a path, an ``s3://`` address, or an archive's ``https://`` address.
        folder: an empty folder of the run's own, for downloads.

    Raises:
        DataError: the source cannot be read, breaks a limit, or holds what was not asked for.
    """
    if is_remote(source):
        return _from_s3(source, folder, wanted)
    if "://" in source:
        path = parse_endpoint(source, site.hosts).path.partition("?")[0]
        archive = folder / f"images{_suffix(path)}"
        download(source, archive, site, max_bytes=MAX_ARCHIVE_BYTES, max_seconds=MAX_DOWNLOAD_SECONDS)
        return _unpack(archive, folder, wanted)
    return _from_path(Path(source), folder, wanted)


def is_listing(name: str) -> bool:
    """Whether a file is one of the hub's metadata files, with captions of many pictures."""
    return name.rpartition("/")[2] in LISTINGS


def is_sidecar(name: str) -> bool:
    """Whether a file is a text with the captions of the picture beside it."""
    return name.lower().endswith(SIDECAR_SUFFIXES)


def _from_path(source: Path, folder: Path, wanted: Wanted) -> Found:
    with _reading(source):
        if source.is_file() and is_archive(source.name):
            _check_size("the archive", source.stat().st_size, MAX_ARCHIVE_BYTES)
            archive = folder / f"images{_suffix(source.name)}"
            with translate_enospc(archive):
                shutil.copyfile(source, archive)
        elif source.is_dir():
            return _walk(source, wanted)
        else:
            raise DataError(
                "there is no folder and no .zip, .tar, .tar.gz or .tgz at this path on the server"
            )
    return _unpack(archive, folder, wanted)


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Turn what keeps this process from reading a path on the server into a `DataError`."""
    try:
        yield
    except OSError as error:  # a name that is too long, a folder or file that is somebody else's
        path = Path(error.filename or source)
        is_below = path != source and path.is_relative_to(source)
        name = repr(path.relative_to(source).as_posix()) if is_below else "this path on the server"
        raise DataError(
            f"{name} cannot be read: {error.strerror}; give what the server's user may read"
        ) from error


def _from_s3(source: str, folder: Path, wanted: Wanted) -> Found:
    if is_archive(source):
        found_there = stat_remote(source)
        if found_there is None:
            raise DataError(f"{source}: there is no such object")
        _check_size("the archive", found_there.size_bytes, MAX_ARCHIVE_BYTES)
        archive = folder / f"images{_suffix(source)}"
        fetch_remote(source, archive)
        return _unpack(archive, folder, wanted)
    top = folder / "objects"
    top.mkdir()
    named = {}
    for index, name in enumerate(_choose_files(list_remote(source), wanted)):
        # An object's name may be any text. Captions are found by it; otherwise the file gets one of ours.
        named[name] = _safe_name(name) if wanted.captioned else f"{index}{Path(name).suffix.lower()}"
    files = set(named.values())
    for own in files:
        if above := files.intersection(map(str, PurePosixPath(own).parents)):
            raise DataError(f"{own!r} lies below {above.pop()!r}, which is an object too; rename one of them")
    for name, own in named.items():
        (top / own).parent.mkdir(parents=True, exist_ok=True)
        fetch_remote(f"{source.rstrip('/')}/{name}", top / own)
    return Found(top, list(named.values()))


def _unpack(archive: Path, folder: Path, wanted: Wanted) -> Found:
    target = folder / "unpacked"
    target.mkdir()
    try:
        extract(
            archive,
            target,
            max_entries=wanted.max_members,
            max_bytes=MAX_UNPACKED_BYTES,
            check=partial(_choose_files, wanted=wanted),  # not when it has filled the disk
        )
    except DataError as error:
        # Its remedies are those of a data set.
        reason, _, other = str(error).partition("; remove it and run again")
        if not other:
            raise
        reason = reason.replace(str(archive), "the archive")
        raise DataError(f"{reason}; send an archive of plain picture files") from error
    archive.unlink()
    return _walk(target, wanted)


def _walk(top: Path, wanted: Wanted) -> Found:
    """Return all files below a folder but hidden ones; a link or a device among them is refused."""
    sizes: dict[str, int] = {}
    for folder, subfolders, files in os.walk(top, onerror=_raise):
        for path in (Path(folder) / name for name in sorted([*subfolders, *files])):
            name = path.relative_to(top).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise DataError(f"{name!r} is a link or a device; give plain files")
            if path.is_file():
                sizes[name] = path.stat().st_size
        _check_count(len(sizes), wanted, wanted.max_members)
    return Found(top, _choose_files(sizes, wanted))


def _raise(error: OSError) -> None:
    raise error  # os.walk would pass the folder over


def _choose_files(sizes: Mapping[str, int], wanted: Wanted) -> list[str]:
    """Return the names of a listing but those of hidden files.

    Raises:
        DataError: there are too many, one is too large, or one is not what was asked for by its name.
    """
    _check_count(len(sizes), wanted, wanted.max_members)
    names = [name for name in sizes if not _is_ignored(name)]
    limits = {name: _max_bytes(name, wanted) for name in names}
    _check_count(sum(is_picture_path(name) for name in names), wanted, wanted.max_pictures)
    for name, most_bytes in limits.items():
        _check_size(name, sizes[name], most_bytes)
    _check_size("all pictures together", sum(sizes[name] for name in names), MAX_UNPACKED_BYTES)
    return names


def _max_bytes(name: str, wanted: Wanted) -> int:
    if is_picture_path(name):
        return MAX_IMAGE_BYTES
    if not wanted.captioned:
        raise DataError(f"{name!r} is no picture; give pictures alone")
    if is_listing(name):
        return MAX_LISTING_BYTES
    if is_sidecar(name):
        return MAX_CAPTION_BYTES
    raise DataError(
        f"{name!r} is neither a picture nor has captions; give pictures with {', '.join(SIDECAR_SUFFIXES)} "
        f"files or {' or '.join(LISTINGS)} alone"
    )


def is_picture_path(name: str) -> bool:
    """Whether a file is a picture by its name."""
    return is_picture(name.rpartition("/")[2])


def _safe_name(name: str) -> str:
    """Return an object's name, which must be a path below the folder that it is written to."""
    if not name.isprintable() or "\\" in name or {"", ".", ".."} & set(name.split("/")):
        raise DataError(f"{name!r} is no plain path; rename the object")
    parts = name.split("/")
    if len(parts) > MAX_PATH_PARTS or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise DataError(f"{name[:80]!r} is too long a name; rename the object")
    return name


def _is_ignored(name: str) -> bool:
    """Return whether a file is hidden or one of a Mac's metadata files."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _check_count(number: int, wanted: Wanted, most: int) -> None:
    if number > most:
        raise DataError(f"there are more than {most} files; give {wanted.fewest} to {wanted.most} pictures")


def _check_size(name: str, size_bytes: int, most_bytes: int) -> None:
    if size_bytes > most_bytes:
        raise DataError(f"{name} has {size_bytes / 1e6:.1f} MB; the most is {most_bytes / 1e6:.0f} MB")


def _suffix(name: str) -> str:
    return next(suffix for suffix in (".tar.gz", ".tgz", ".tar", ".zip") if name.endswith(suffix))
