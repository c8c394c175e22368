from __future__ import annotations

import gc
import io
import tarfile
from pathlib import Path

from oft.shards.tars import OWNER, add_member, read_groups


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


def records() -> int:
    """Return how many of tarfile's records of a member there are in this process."""
    return sum(type(each) is tarfile.TarInfo for each in gc.get_objects())


def test_memory_does_not_grow_with_the_number_of_members(tmp_path: Path) -> None:
    before = records()
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(9):
            add_member(archive, f"{number}.json", b"{}")
        assert records() == before
    reading = [(key, records() - before) for key, _ in read_groups(tmp_path / "a.tar")]
    assert [key for key, _ in reading] == [str(number) for number in range(9)]
    assert max(grown for _, grown in reading) <= 3
