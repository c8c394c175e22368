"""Members of tar files whose bytes depend on their names and contents alone."""

from __future__ import annotations

import io
import tarfile

OWNER = "oft"


def add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append one read-only file without time: what webdataset's TarWriter(mtime=0, user=OWNER) writes."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o444, 0
    member.uname = member.gname = OWNER
    archive.addfile(member, io.BytesIO(data))
