"""Collect the pictures of a request from its source, and decode every one before the training starts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flows.requests.addresses import parse_endpoint
from flows.requests.decoding import decode_pictures
from flows.requests.site import Site
from flows.requests.web import download
from oft.acquire.archives import extract, is_archive
from oft.datasets.layout import is_picture
from oft.errors import DataError, UserError
from oft.storage import fetch_remote, is_remote, list_remote, sha256_file
from oft.storage.remote import stat_remote

MAX_IMAGE_BYTES = 32 << 20
MAX_ARCHIVE_BYTES = 512 << 20
MAX_UNPACKED_BYTES = 2 * MAX_ARCHIVE_BYTES
"""Of all files together, from wherever they come: pictures hardly shrink in an archive."""
MAX_DOWNLOAD_SECONDS = 600.0


class Wanted(NamedTuple):
    """What pictures a parameter of a request takes.

    Attributes:
        key: the parameter.
        fewest: and ``most``: how many.
    """

    key: str
    fewest: int
    most: int

    @property
    def max_members(self) -> int:
        """The most files: beside pictures an archive has folders, and the metadata files of a Mac."""
        return 10 * self.most


INSTANCE_IMAGES = Wanted("instance_images", 3, 100)
CLASS_IMAGES = Wanted("class_images", 1, 1000)


def collect_images(
    source: str, resolution_px: int, folder: Path, site: Site, wanted: Wanted = INSTANCE_IMAGES
) -> list[Path]:
    """Return the pictures of a request in order of their content, each sound and large enough.

    Args:
        source: a folder or an archive: a path, an ``s3://`` address, or an archive's ``https://`` address.
        resolution_px: the shorter side must have this at least.
        folder: an empty folder of the run's own, for downloads.

    Raises:
        DataError: the source cannot be read or breaks a limit, or a picture is at fault; the
            message names all faulty pictures.
    """
    try:
        if is_remote(source):
            found = _from_s3(source, folder, wanted)
        elif "://" in source:
            path = parse_endpoint(source, site.hosts).path.partition("?")[0]
            archive = folder / f"images{_suffix(path)}"
            download(source, archive, site, max_bytes=MAX_ARCHIVE_BYTES, max_seconds=MAX_DOWNLOAD_SECONDS)
            found = _unpack(archive, folder, wanted)
        else:
            found = _from_path(Path(source), folder, wanted)
        return _check_pictures(found, resolution_px, folder, wanted)
    except UserError as error:
        raise DataError(f"{wanted.key}: {error}") from error


def _from_path(source: Path, folder: Path, wanted: Wanted) -> list[Path]:
    try:
        is_file, is_folder = source.is_file(), source.is_dir()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise DataError(f"this path on the server cannot be read: {error.strerror}") from None
    if is_file and is_archive(source.name):
        _check_size("the archive", source.stat().st_size, MAX_ARCHIVE_BYTES)
        copy = folder / f"images{_suffix(source.name)}"
        shutil.copyfile(source, copy)
        return _unpack(copy, folder, wanted)
    if not is_folder:
        raise DataError("there is no folder and no .zip, .tar, .tar.gz or .tgz at this path on the server")
    return _walk(source, wanted)


def _from_s3(source: str, folder: Path, wanted: Wanted) -> list[Path]:
    if is_archive(source):
        found_there = stat_remote(source)
        if found_there is None:
            raise DataError(f"{source}: there is no such object")
        _check_size("the archive", found_there.size_bytes, MAX_ARCHIVE_BYTES)
        archive = folder / f"images{_suffix(source)}"
        fetch_remote(source, archive)
        return _unpack(archive, folder, wanted)
    found = []
    for index, name in enumerate(_choose_pictures(list_remote(source), wanted)):
        # An object's name may be any text: the file gets one of ours.
        path = folder / f"{index}{Path(name).suffix.lower()}"
        fetch_remote(f"{source.rstrip('/')}/{name}", path)
        found.append(path)
    return found


def _unpack(archive: Path, folder: Path, wanted: Wanted) -> list[Path]:
    target = folder / "unpacked"
    target.mkdir()
    try:
        extract(
            archive,
            target,
            max_entries=wanted.max_members,
            max_bytes=MAX_UNPACKED_BYTES,
            check=partial(_choose_pictures, wanted=wanted),  # not when it has filled the disk
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


def _walk(top: Path, wanted: Wanted) -> list[Path]:
    """Return all files below a folder but hidden ones; a link or a device among them is refused."""
    sizes: dict[str, int] = {}
    for folder, subfolders, files in os.walk(top):
        for path in (Path(folder) / name for name in sorted([*subfolders, *files])):
            name = path.relative_to(top).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise DataError(f"{name!r} is a link or a device; give plain files")
            if path.is_file():
                sizes[name] = path.stat().st_size
        _check_count(len(sizes), wanted, wanted.max_members)
    return [top / name for name in _choose_pictures(sizes, wanted)]


def _choose_pictures(sizes: Mapping[str, int], wanted: Wanted) -> list[str]:
    """Return the names of a listing but those of hidden files.

    Raises:
        DataError: there are too many, one is too large, or one is no picture by its name.
    """
    _check_count(len(sizes), wanted, wanted.max_members)
    names = [name for name in sizes if not _is_ignored(name)]
    _check_count(len(names), wanted, wanted.most)
    for name in names:
        _check_name(name)
        _check_size(name, sizes[name], MAX_IMAGE_BYTES)
    _check_size("all pictures together", sum(sizes[name] for name in names), MAX_UNPACKED_BYTES)
    return names


def _check_pictures(found: list[Path], resolution_px: int, folder: Path, wanted: Wanted) -> list[Path]:
    if len(found) < wanted.fewest:
        raise DataError(f"there are {len(found)} pictures; give {wanted.fewest} to {wanted.most}")
    sizes, faults = decode_pictures(found, folder)
    for path, (width, height) in sizes.items():
        if min(width, height) < resolution_px:
            faults.append(
                f"{path.name}: has {width} x {height} pixels; the shorter side must have {resolution_px}"
            )
    if faults:
        raise DataError("\n    ".join([f"{len(faults)} of {len(found)} pictures cannot be used:", *faults]))
    return sorted(found, key=sha256_file)


def _is_ignored(name: str) -> bool:
    """Return whether a file is hidden or one of a Mac's metadata files."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _check_name(name: str) -> None:
    if not is_picture(name.rpartition("/")[2]):
        raise DataError(f"{name!r} is no picture; give pictures alone")


def _check_count(number: int, wanted: Wanted, most: int) -> None:
    if number > most:
        raise DataError(f"there are more than {most} files; give {wanted.fewest} to {wanted.most} pictures")


def _check_size(name: str, size_bytes: int, most_bytes: int) -> None:
    if size_bytes > most_bytes:
        raise DataError(f"{name} has {size_bytes / 1e6:.1f} MB; the most is {most_bytes / 1e6:.0f} MB")


def _suffix(name: str) -> str:
    return next(suffix for suffix in (".tar.gz", ".tgz", ".tar", ".zip") if name.endswith(suffix))
