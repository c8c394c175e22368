"""Downloads that end whole and verified, or can be continued."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from oft.acquire.sources import Archive
from oft.acquire.transports import BusyError, browsable, open_address
from oft.errors import DataError
from oft.progress import BYTES, progress
from oft.storage import CHUNK_BYTES, read_json, require_space, translate_enospc, write_json

MAX_FAILURES = 6
"""Tries in a row that bring nothing new before a download gives up."""

MAX_BACKOFF_SECONDS = 60.0
MAX_SIZE_ERROR = 10
"""A file whose size is known roughly is at most so many times larger."""

Sleep = Callable[[float], None]


def download(archive: Archive, address: str, folder: Path, sleep: Sleep = time.sleep) -> Path:
    """Return the verified file ``folder/<archive.name>``, downloaded if it is not there.

    What has come lies in ``<name>.part`` until it is whole, and is continued by the next call if the address
    still has the same version of the file. A file of that name made by hand is verified and taken.

    Args:
        archive: what the file must be.
        address: where to get it: `open_address` says of what forms.
        folder: where downloads lie.
        sleep: waits between two tries, seconds.

    Raises:
        DataError: the address refuses, `MAX_FAILURES` tries in a row brought nothing, the file is not the one
            it must be, or the disk is full.
    """
    target = folder / archive.name
    if target.is_file():
        if fault := _fault(archive, target, None):
            raise DataError(f"{target} {fault}; remove it and run again to download it")
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    sha256 = _download_whole(archive, address, part, sleep)
    if fault := _fault(archive, part, sha256):
        part.unlink()
        _state_file(part).unlink(missing_ok=True)
        raise DataError(
            f"{archive.name} from {browsable(address)} {fault}, and is removed; run again to download it "
            f"anew, or {_manual_remedy(archive, part)}"
        )
    part.rename(target)
    _state_file(part).unlink(missing_ok=True)
    return target


def _download_whole(archive: Archive, address: str, part: Path, sleep: Sleep) -> str | None:
    """Try until ``part`` is whole; return the SHA-256 that the server states, if it does."""
    failures, most_bytes = 0, _size_bytes(part)
    while True:
        try:
            return _continue(archive, address, part)
        except ConnectionError as error:
            failures = 1 if _size_bytes(part) > most_bytes else failures + 1
            most_bytes = max(most_bytes, _size_bytes(part))
            if failures == MAX_FAILURES:
                raise DataError(
                    f"{archive.name} cannot be downloaded: {error} ({failures} tries); what has come is "
                    f"kept: run again to go on, or {_manual_remedy(archive, part)}"
                ) from error
            asked = error.wait_seconds if isinstance(error, BusyError) else None
            wait_seconds = min(2.0 ** (failures - 1), MAX_BACKOFF_SECONDS) if asked is None else asked
            print(f"{archive.name}: {error}; trying again in {wait_seconds:.0f} s", flush=True)
            sleep(wait_seconds)


def _continue(archive: Archive, address: str, part: Path) -> str | None:
    """Append what is missing to ``part``, or write it anew; return the SHA-256 that the server states."""
    state = _state(part)
    is_same = state.get("address") == address
    if is_same and _size_bytes(part) == state["total_bytes"]:
        return state["sha256"]
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(
                open_address(address, _size_bytes(part), state["version"] if is_same else None)
            )
        except DataError as error:
            raise DataError(
                f"{archive.name} cannot be downloaded: {error}; set acquire.mirror to where it is, or "
                f"{_manual_remedy(archive, part)}"
            ) from error
        total_bytes = stream.total_bytes
        if archive.size_is_exact and total_bytes not in (None, archive.size_bytes):
            raise DataError(
                f"{browsable(address)} has {total_bytes} bytes and {archive.name} must have "
                f"{archive.size_bytes}: it is another file; set acquire.mirror to where the official one is, "
                f"or {_manual_remedy(archive, part)}"
            )
        require_space({part.parent: (total_bytes or archive.size_bytes) - stream.start_bytes})
        most_bytes = total_bytes or archive.size_bytes * (1 if archive.size_is_exact else MAX_SIZE_ERROR)
        with (
            translate_enospc(part, "make room and run again: what has come is kept"),
            part.open("ab" if stream.start_bytes else "wb") as sink,
            progress(total_bytes, archive.name, BYTES, initial=stream.start_bytes) as bar,
        ):
            if not stream.start_bytes:
                kept = {"version": stream.version, "total_bytes": total_bytes, "sha256": stream.sha256}
                write_json(_state_file(part), {"address": address, **kept})
            for chunk in stream.chunks:
                if sink.tell() + len(chunk) > most_bytes:
                    raise DataError(f"{browsable(address)} sends more than {archive.name} can have")
                sink.write(chunk)
                bar.advance(len(chunk))
        if total_bytes is not None and _size_bytes(part) < total_bytes:
            raise ConnectionError(f"{address}: the connection ended early")
        return stream.sha256


def _fault(archive: Archive, path: Path, sha256: str | None) -> str | None:
    """Return what is wrong with a whole file, or None."""
    size_bytes = path.stat().st_size
    if archive.size_is_exact and size_bytes != archive.size_bytes:
        return f"has {size_bytes} bytes and must have {archive.size_bytes}"
    checksum = archive.checksum or (f"sha256:{sha256}" if sha256 else None)
    if checksum:
        algorithm, _, expected = checksum.partition(":")
        found = _digest(path, algorithm, archive.name)
        return f"has {algorithm} {found} and must have {expected}" if found != expected else None
    if archive.name.endswith(".zip") and not zipfile.is_zipfile(path):
        return "is no zip archive"
    return None


def _digest(path: Path, algorithm: str, name: str) -> str:
    digest = hashlib.new(algorithm)
    with path.open("rb") as stream, progress(path.stat().st_size, f"verifying {name}", BYTES) as bar:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            bar.advance(len(chunk))
    return digest.hexdigest()


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _state(part: Path) -> dict[str, Any]:
    """Return of what address and version ``part`` is the beginning; nothing where that is not known."""
    if not (part.is_file() and _state_file(part).is_file()):
        return {}
    try:
        return dict(read_json(_state_file(part)))
    except ValueError:  # the machine stopped while it was written
        return {}


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _manual_remedy(archive: Archive, part: Path) -> str:
    return f"get {browsable(archive.address)} by hand and put it at {part.with_name(archive.name)}"
