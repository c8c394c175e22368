from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from oft.data.tars import OWNER, add_member, read_groups


def packed(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            add_member(archive, name, data)
    return buffer.getvalue()


def test_members_come_back_in_order() -> None:
    members = [("b.json", b"{}"), ("a.png", bytes(range(256)) * 5), ("empty.txt", b"")]
    with tarfile.open(fileobj=io.BytesIO(packed(*members))) as archive:
        found = [
            (member.name, stream.read()) for member in archive if (stream := archive.extractfile(member))
        ]
    assert found == members


def test_a_header_holds_nothing_of_machine_user_or_time() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(("a.png", b"data")))) as archive:
        (member,) = archive
    assert (member.mtime, member.mode, member.uid, member.gid) == (0, 0o444, 0, 0)
    assert member.uname == member.gname == OWNER


def test_bytes_follow_from_names_contents_and_order() -> None:
    one, two = ("a.png", b"one"), ("b.png", b"two")
    assert packed(one, two) == packed(one, two)
    assert len({packed(one, two), packed(two, one), packed(one), packed(one, ("b.png", b"tow"))}) == 4


def test_an_archive_keeps_no_record_of_its_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory must not grow with the number of samples in a tar."""
    kept: list[int] = []
    opened = tarfile.open

    def spying(*arguments: Any, **options: Any) -> tarfile.TarFile:
        archive = opened(*arguments, **options)
        step = archive.next
        archive.next = lambda: kept.append(len(archive.members)) or step()  # type: ignore[method-assign,func-returns-value]
        return archive

    with opened(tmp_path / "a.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(50):
            add_member(archive, f"{number}.json", b"{}")
        assert not archive.members
    monkeypatch.setattr(tarfile, "open", spying)
    assert [key for key, _ in read_groups(tmp_path / "a.tar")] == [str(number) for number in range(50)]
    assert kept and max(kept) <= 1
