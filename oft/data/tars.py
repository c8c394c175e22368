"""Members of tar files whose bytes depend on their names and contents alone."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

OWNER = "oft"


def add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append one read-only file without time: what webdataset's TarWriter(mtime=0, user=OWNER) writes."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o444, 0
    member.uname = member.gname = OWNER
    archive.addfile(member, io.BytesIO(data))


def read_groups(source: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the files that follow each other under one key, by what comes after the key's first dot.

    What webdataset's `group_by_keys` does, without importing torch.

    Raises:
        tarfile.TarError, OSError: the file is missing or damaged; one cut short between two files is not.
    """
    with tarfile.open(source) as archive:
        for key, members in groupby(archive, key=lambda member: member.name.partition(".")[0]):
            contents: dict[str, bytes] = {}
            for member in members:
                stream = archive.extractfile(member)
                contents[member.name.partition(".")[2]] = stream.read() if stream else b""
            yield key, contents
