"""Files and folders copied to S3 for others to use: a report, an adapter, shards.

A folder is whole where its manifest says so. That is sent last, and it names every file with its SHA-256:
what an interrupted publication left, or a mixture of two versions, is never taken for a whole one. Nothing is
deleted.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from oft.errors import DataError
from oft.storage.files import atomic_folder, require_space, sha256_file, write_json
from oft.storage.remote import (
    ObjectState,
    fetch_remote,
    is_remote,
    list_remote,
    read_remote,
    send_remote,
    stat_remote,
)

MANIFEST = "published.json"
ENTRIES = (
    "adapter_config.json",
    "index.html",
    "index.json",
    "model_index.json",
    "wids-train.json",
    "wids-val.json",
)
"""What others open first, and find the rest by: sent after the rest."""
CONTENT_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json", ".md": "text/markdown"}
SENDERS = 8


@dataclass(frozen=True)
class PublishedFile:
    """A file to publish: where it is, its name below the address, and what it holds."""

    source: Path
    name: str
    state: ObjectState
    modified_ns: int


@dataclass(frozen=True)
class Publication:
    """The files of a publication: ``kept`` are there, byte for byte; ``missing`` are to be sent."""

    url: str
    kept: tuple[PublishedFile, ...]
    missing: tuple[PublishedFile, ...]
    is_folder: bool

    @property
    def missing_bytes(self) -> int:
        return sum(file.state.size_bytes for file in self.missing)


def plan_publication(source: Path, url: str) -> Publication:
    """Return what publishing a file or a folder under ``s3://bucket/prefix`` sends; hidden files stay here.

    Raises:
        DataError: there is nothing to publish, or the bucket is missing, refuses or cannot be reached.
    """
    url = url.rstrip("/")
    files = [_describe(path, name) for name, path in sorted(_collect(source).items())]
    sizes = list_remote(url)
    with ThreadPoolExecutor(SENDERS) as pool:
        same = list(pool.map(lambda file: _is_published(file, url, sizes), files))
    return Publication(
        url,
        kept=tuple(file for file, there in zip(files, same, strict=True) if there),
        missing=tuple(file for file, there in zip(files, same, strict=True) if not there),
        is_folder=source.is_dir(),
    )


def publish(plan: Publication, advance: Callable[[int], None] = lambda _: None) -> None:
    """Send what is missing, side by side; of a folder last its entries, such as index.html, and the manifest.

    Run again after an interruption it sends what is still missing. ``advance`` is given the bytes that have
    gone, in any thread.

    Raises:
        DataError: a file changed since it was planned, or the bucket refuses or cannot be reached.
    """

    def send(file: PublishedFile) -> None:
        _send(file, plan.url, advance)

    entries = [file for file in plan.missing if plan.is_folder and file.name in ENTRIES]
    pool = ThreadPoolExecutor(SENDERS)
    try:
        for _ in pool.map(send, (file for file in plan.missing if file not in entries)):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    for file in entries:
        send(file)
    if plan.is_folder:
        _send_manifest(plan)


def fetch_folder(url: str, target: Path) -> list[str]:
    """Fetch a folder published at ``s3://bucket/prefix``, whole and verified or not at all; return its files.

    Raises:
        DataError: no folder has been published there, one is incomplete or of mixed versions, the manifest
            names a file outside it, or the disk is full.
    """
    url = url.rstrip("/")
    files = _read_manifest(url)
    require_space({target: sum(state.size_bytes for state in files.values())})
    with atomic_folder(target) as partial:
        for name, state in files.items():
            fetch_remote(f"{url}/{name}", partial / name)
            if sha256_file(partial / name) != state.sha256:
                raise DataError(
                    f"{url}/{name} is not what {MANIFEST} there says (SHA-256 {state.sha256}): another "
                    "version is being published or was interrupted; run `oft publish` again, then this"
                )
    return list(files)


def _collect(source: Path) -> dict[str, Path]:
    """Return the files to publish by their names."""
    if source.is_file():
        return {source.name: source}
    if not source.is_dir():
        raise DataError(f"{source} is no file or folder; name a report, an adapter's folder or shards")
    files: dict[str, Path] = {}
    for path in source.rglob("*"):
        relative = path.relative_to(source)
        if any(part.startswith(".") for part in relative.parts):
            continue
        if path.is_file():
            files[relative.as_posix()] = path
        elif path.is_symlink():
            raise DataError(f"{path} links to a folder or to nothing; publish the folder that it links to")
    if not files:
        raise DataError(f"{source} is empty: there is nothing to publish")
    if MANIFEST in files:
        raise DataError(f"{source / MANIFEST}: this name is kept for the manifest; rename the file")
    return files


def _describe(path: Path, name: str) -> PublishedFile:
    modified_ns = path.stat().st_mtime_ns
    return PublishedFile(path, name, ObjectState(path.stat().st_size, sha256_file(path)), modified_ns)


def _is_published(file: PublishedFile, url: str, sizes: dict[str, int]) -> bool:
    same_size = sizes.get(file.name) == file.state.size_bytes  # one listing spares a question for each file
    return same_size and stat_remote(f"{url}/{file.name}") == file.state


def _send(file: PublishedFile, url: str, advance: Callable[[int], None]) -> None:
    assert file.state.sha256 is not None
    kind = CONTENT_TYPES.get(file.source.suffix) or mimetypes.guess_type(file.name, strict=False)[0]
    send_remote(
        file.source,
        f"{url}/{file.name}",
        sha256=file.state.sha256,
        content_type=kind or "application/octet-stream",
        advance=advance,
    )
    if file.source.stat().st_mtime_ns != file.modified_ns:
        raise DataError(f"{file.source} changed while it was sent; run again when nothing writes to it")


def _send_manifest(plan: Publication) -> None:
    """Send the manifest unless it is there, equal."""
    files = {
        file.name: {"size_bytes": file.state.size_bytes, "sha256": file.state.sha256}
        for file in (*plan.kept, *plan.missing)
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / MANIFEST
        write_json(path, {"files": files})
        manifest = _describe(path, MANIFEST)
        if stat_remote(f"{plan.url}/{MANIFEST}") != manifest.state:
            _send(manifest, plan.url, lambda _: None)


def _read_manifest(url: str) -> dict[str, ObjectState]:
    """Return the files that the manifest names."""
    address = f"{url}/{MANIFEST}"
    if not is_remote(url) or stat_remote(address) is None:
        raise DataError(
            f"{url}: no whole folder is published there ({MANIFEST}, sent last, is missing); correct the "
            "address or run `oft publish` to its end"
        )
    try:
        listed: dict[str, Any] = json.loads(read_remote(address))["files"]
        files = {
            name: ObjectState(int(file["size_bytes"]), str(file["sha256"])) for name, file in listed.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{address} is no manifest of `oft publish`; publish the folder again") from error
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
            raise DataError(f"{address} names {name!r}, which is outside its folder; nothing was fetched")
    return files
