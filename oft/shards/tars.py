"""Members of tar files whose bytes depend on their names and contents alone."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

OWNER = "oft"


def add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append one read-only file without time: what webdataset's TarWriter(mtime=0, user=OWNER) writes.

    The archive keeps no record of it, so memory does not grow with the number of members.
    """
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o444, 0
    member.uname = member.gname = OWNER
    archive.addfile(member, io.BytesIO(data))
    archive.members.clear()  # type: ignore[attr-defined]


def iterate_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an archive in their order, without keeping them.

    tarfile keeps a record of each, about a kilobyte, for look-ups by name.
    """
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]
        yield member


def read_groups(source: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the files that follow each other under one key, by what comes after the key's first dot.

    What webdataset's `group_by_keys` does, without importing torch.

    Raises:
        tarfile.TarError, OSError: the file is missing or damaged; one cut short between two files is not.
    """
    with tarfile.open(source) as archive:
        for key, members in groupby(
            iterate_members(archive), key=lambda member: member.name.partition(".")[0]
        ):
            contents: dict[str, bytes] = {}
            for member in members:
                stream = archive.extractfile(member)
                contents[member.name.partition(".")[2]] = stream.read() if stream else b""
            yield key, contents
