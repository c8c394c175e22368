"""An official data set, downloaded and unpacked in its layout."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from oft.acquire.archives import extract, is_archive
from oft.acquire.download import Sleep, download
from oft.acquire.sources import SOURCES, Archive, Source
from oft.errors import ParamsError
from oft.settings.data import Acquisition
from oft.storage import atomic_folder, require_space, translate_enospc

UNPACKED_GROWTH = 1.1
"""Disk that unpacked files take of the archives' sizes: pictures hardly shrink in an archive."""


def download_dataset(
    dataset: str,
    reader: str,
    settings: Acquisition,
    target: Path,
    downloads: Path,
    sleep: Sleep = time.sleep,
) -> None:
    """Make ``target`` the official data set of a reader's layout, whole or not at all.

    Args:
        dataset: its name in params, for messages.
        reader: the reader of its layout, a key of `SOURCES`.
        settings: the mirror, and whether the licence is accepted.
        target: the folder that is replaced when all is there.
        downloads: where the archives lie, whole or to be continued after an interruption; left as it is.
        sleep: waits between two tries of a download, seconds.

    Raises:
        DataError: a file cannot be had or is not the official one, an archive is
            unsafe or damaged, or the disk is too small.
        ParamsError: the licence is not accepted.
    """
    source = SOURCES[reader]
    refuse_unaccepted(dataset, source, settings)
    require_download_space(source, target, downloads)
    files = {
        archive: download(archive, _address(archive, settings.mirror), downloads, sleep)
        for archive in source.archives
    }
    with atomic_folder(target) as partial:
        for archive, path in files.items():
            if is_archive(archive.name):
                extract(path, partial, archive.top)
            else:
                with translate_enospc(target):
                    shutil.copyfile(path, partial / archive.name)


def refuse_unaccepted(dataset: str, source: Source, settings: Acquisition) -> None:
    """Refuse to download what comes under terms that were not accepted.

    Raises:
        ParamsError: they were not.
    """
    if not settings.accept_licence:
        raise ParamsError(
            f"datasets.{dataset}.acquire.accept_licence: {source.title} comes under terms of its own "
            f"({source.licence}); read {source.terms} and set it true if you accept them"
        )


def _address(archive: Archive, mirror: str | None) -> str:
    return archive.address if mirror is None else f"{mirror.rstrip('/')}/{archive.name}"


def require_download_space(source: Source, target: Path, downloads: Path) -> None:
    """Refuse before the first byte what cannot end well: the archives and the data set stand side by side.

    Raises:
        DataError: the disk is too small.
    """
    here = {archive.name: 0 for archive in source.archives}
    if downloads.is_dir():
        for path in downloads.iterdir():
            here[path.name.removesuffix(".part")] = path.stat().st_size
    missing_bytes = sum(max(archive.size_bytes - here[archive.name], 0) for archive in source.archives)
    unpacked_bytes = sum(int(archive.size_bytes * UNPACKED_GROWTH) for archive in source.archives)
    require_space({downloads: missing_bytes, target: unpacked_bytes})
