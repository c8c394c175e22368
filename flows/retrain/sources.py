"""Checksums of the data sets' sources: DVC knows a user's folder by its path alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.datasets.reader import RENDERED_SOURCES
from oft.errors import DataError
from oft.storage import is_remote, list_versions, read_json, sha256_file, write_json

if TYPE_CHECKING:
    from oft.params import Params

# Sources that are no place: made here, or fetched as their pins say.
GENERATED_SOURCES = (*RENDERED_SOURCES, "photos")
DOWNLOAD = "download"
GENERATED_CAPTIONS = ("own", "blip")
HASHES_FILE = "hashes.json"


class HashCache:
    """SHA-256 of files, read again only where size or time of change differ, as DVC does too."""

    def __init__(self, store: Path) -> None:
        self._store = store
        try:
            self._known: dict[str, list[Any]] = read_json(store)
        except (OSError, ValueError):
            self._known = {}
        self._seen: dict[str, list[Any]] = {}

    def sha256(self, path: Path) -> str:
        """Return the hexadecimal SHA-256 of a file."""
        stat = path.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        known = self._known.get(str(path), [])
        digest = str(known[3]) if known[:3] == state else sha256_file(path)
        self._seen[str(path)] = [*state, digest]
        return digest

    def save(self) -> None:
        """Keep the hashes of this scan for the next one."""
        write_json(self._store, self._seen)


def watched_sources(params: Params) -> dict[str, str]:
    """Return the source of each stage whose input DVC knows by its name alone: ``acquire@coco``, ``base``."""
    sources = {
        f"acquire@{name}": dataset.acquire.source
        for name, dataset in params.datasets.items()
        if dataset.acquire.source not in GENERATED_SOURCES
    }
    sources |= {
        f"caption@{name}": dataset.captions.source
        for name, dataset in params.datasets.items()
        if dataset.captions.source not in GENERATED_CAPTIONS
    }
    if params.base.source != "miniature" and "@" not in params.base.source:
        sources["base"] = params.base.source
    return sources


def read_fingerprints(params: Params, source_root: Path | None, hashes: HashCache) -> dict[str, str]:
    """Return a checksum of each watched source: names, sizes, and content or ETags.

    Args:
        source_root: where relative paths start.

    Raises:
        DataError: a source is missing or cannot be read.
    """
    fingerprints = {}
    for stage, source in watched_sources(params).items():
        if source == DOWNLOAD:
            dataset = params.datasets[stage.partition("@")[2]]
            listing = _pins(dataset.reader, dataset.acquire.mirror)
        elif is_remote(source):
            listing = {name: list(version) for name, version in list_versions(source).items()}
        else:
            listing = _list_files(resolve_source_path(source, source_root), hashes)
        fingerprints[stage] = _digest(listing)
    hashes.save()
    return fingerprints


def changed_stages(now: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """Return the stages whose source is new or differs from before."""
    return [stage for stage, fingerprint in now.items() if before.get(stage) != fingerprint]


def resolve_source_path(source: str, source_root: Path | None) -> Path:
    """Return where a path of the params leads: a relative one starts in the source's workspace."""
    return (source_root or Path.cwd()) / source


def _pins(reader: str, mirror: str | None) -> dict[str, Any]:
    from oft.acquire.sources import SOURCES

    return {"mirror": mirror, "archives": [asdict(archive) for archive in SOURCES[reader].archives]}


def _list_files(path: Path, hashes: HashCache) -> dict[str, list[Any]]:
    if path.is_file():
        return {path.name: [path.stat().st_size, hashes.sha256(path)]}
    if not path.is_dir():
        raise DataError(f"data folder {path} is missing; it must exist; correct the path in params")
    listing = {}
    for file in _walk(path):
        try:
            listing[file.relative_to(path).as_posix()] = [file.stat().st_size, hashes.sha256(file)]
        except FileNotFoundError:  # removed in the meantime: the next scan sees the folder without it
            continue
        except OSError as error:
            raise DataError(
                f"{file} cannot be read: {error.strerror}; give this user the right to"
            ) from error
    return listing


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted; links are followed, but none that leads back up."""
    for folder, subfolders, names in os.walk(root, followlinks=True):
        here = Path(folder).resolve()
        subfolders[:] = sorted(
            name for name in subfolders if not here.is_relative_to((Path(folder) / name).resolve())
        )
        yield from (file for name in sorted(names) if (file := Path(folder) / name).is_file())


def _digest(listing: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(listing, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
