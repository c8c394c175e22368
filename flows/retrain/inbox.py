"""Ingest new pictures from a folder or from S3: decode them, then copy them into the data set's own folder.

Skip a file that still grows; move one that is no usable picture aside, with the reason, and go on. Recognize
pictures that are in place already by their content, without decoding them again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.retrain.settings import SETTLE_SECONDS, RetrainSettings
from flows.retrain.sources import DOWNLOAD, GENERATED_SOURCES, HashCache, resolve_source_path
from oft.datasets.caption_text import words_of_name
from oft.datasets.image_folder import SIDECAR_SUFFIXES
from oft.datasets.layout import is_picture, read_text_file
from oft.errors import DataError, UserError, first_line
from oft.keys import stable_hash
from oft.storage import (
    atomic_file,
    fetch_remote,
    is_remote,
    list_versions,
    read_json,
    sha256_file,
    write_json,
)

if TYPE_CHECKING:
    from oft.params import Params

REFUSED_FOLDER = "refused"
LEDGER_FILE = "inbox.json"
CONTENT_CHARS = 32
_SPELLED_SUFFIXES = tuple(spelled for suffix in SIDECAR_SUFFIXES for spelled in (suffix, suffix.upper()))
# Readers that take a picture without an annotation beside it.
READERS = ("image_folder", "dreambooth")


class InboxCounts(NamedTuple):
    """How many pictures of the inboxes are new in a data set, were refused, or still grow."""

    accepted: int = 0
    refused: int = 0
    waiting: int = 0

    def __add__(self, other: object) -> InboxCounts:
        assert isinstance(other, InboxCounts)
        return InboxCounts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def ingest_inboxes(
    settings: RetrainSettings, params: Params, hashes: HashCache, log: Callable[[str], None]
) -> InboxCounts:
    """Copy the new pictures of every inbox into its data set's own folder.

    Args:
        hashes: knows the content of files that an earlier call has read.

    Raises:
        UserError: an inbox belongs to no data set that takes pictures, or cannot be read.
    """
    root = settings.source_root
    # Check all before the first picture is copied.
    targets = {name: target_folder(name, params, root) for name in settings.inboxes}
    counts = InboxCounts()
    for name, place in settings.inboxes.items():
        if is_remote(place):
            counts += ingest_remote(place, targets[name], settings.folder, log)
        else:
            inbox = resolve_source_path(place, root)
            counts += ingest_folder(inbox, targets[name], hashes, log, settings.settle_seconds)
    return counts


def target_folder(name: str, params: Params, source_root: Path | None) -> Path:
    """Return the folder that pictures of an inbox go to: ``coco``, or ``dreambooth/dog`` for one of it.

    Raises:
        UserError: there is no such data set, or it takes no pictures alone.
    """
    dataset, _, below = name.partition("/")
    if dataset not in params.datasets:
        raise UserError(
            f"inbox {name!r}: params.yaml has no data set {dataset!r}; it has {', '.join(params.datasets)}"
        )
    settings = params.datasets[dataset]
    source = settings.acquire.source
    if source in (*GENERATED_SOURCES, DOWNLOAD) or is_remote(source):
        raise UserError(
            f"inbox {name!r}: new pictures go into the data set's own folder, and datasets.{dataset}."
            f"acquire.source is {source!r}; set it to a folder"
        )
    if settings.reader not in READERS:
        raise UserError(
            f"inbox {name!r}: reader {settings.reader} needs more than a picture; an inbox serves readers "
            f"{' and '.join(READERS)}; put new examples into {source} yourself, that is noticed too"
        )
    if PurePosixPath(below).is_absolute() or ".." in PurePosixPath(below).parts:
        raise UserError(f"inbox {name!r}: what follows the / must be a folder inside the data set")
    return resolve_source_path(source, source_root) / below


def ingest_folder(
    inbox: Path,
    target: Path,
    hashes: HashCache,
    log: Callable[[str], None],
    settle_seconds: float = SETTLE_SECONDS,
) -> InboxCounts:
    """Copy the new pictures of a folder; they stay where they are, refused ones go to its ``refused/``.

    Raises:
        UserError: there is no such folder, or a file cannot be read or written.
    """
    if not inbox.is_dir():
        raise UserError(f"there is no inbox folder {inbox}; make it, or correct the path")
    counts, present = InboxCounts(), _present_names(target)
    for path in _pictures(inbox):
        try:
            # Refuse a link without reading its target.
            name = "" if path.is_symlink() else _content_name(hashes.sha256(path))
            if name in present:
                continue
            if name and time.time() - path.stat().st_mtime < settle_seconds:
                counts += InboxCounts(waiting=1)
            elif reason := rejection_reason(path):
                _quarantine(inbox, path, reason)
                log(f"{path.relative_to(inbox)} is refused: {reason}")
                counts += InboxCounts(refused=1)
            else:
                _copy_picture(path, name, _caption(path) or _stem_caption(path.stem), target)
                present.add(name)
                counts += InboxCounts(accepted=1)
        except FileNotFoundError:  # removed in the meantime
            continue
        except OSError as error:
            raise UserError(
                f"inbox {inbox}: {path.name} cannot be taken: {error.strerror}; give this user the right to "
                "read it, and to write to the inbox and the data set's folder"
            ) from error
    return counts


def ingest_remote(url: str, target: Path, folder: Path, log: Callable[[str], None]) -> InboxCounts:
    """Copy the new pictures below ``s3://bucket/prefix``; each version is read once for each target.

    Raises:
        DataError: the prefix cannot be read.
    """
    ledger_file = folder / LEDGER_FILE
    ledger: dict[str, Any] = read_json(ledger_file) if ledger_file.is_file() else {}
    known = ledger.setdefault(str(target), {}).setdefault(url, {})
    versions = list_versions(url)
    counts, present = InboxCounts(), _present_names(target)
    for name, (_, etag) in versions.items():
        path = PurePosixPath(name)
        if not is_picture(path.name):
            continue
        if known.get(name, {}).get("etag") == etag:
            continue
        # Under a name of ours: a key may hold anything.
        local = folder / "incoming" / f"{stable_hash(name)[:CONTENT_CHARS]}{_suffix(path.suffix)}"
        base = url.rstrip("/")
        fetch_remote(f"{base}/{name}", local)
        for suffix in _SPELLED_SUFFIXES:
            if (sidecar := str(path.with_suffix(suffix))) in versions:
                fetch_remote(f"{base}/{sidecar}", local.with_suffix(suffix.lower()))
        content, reason = _content_name(sha256_file(local)), None
        if content not in present:
            if reason := rejection_reason(local):
                log(f"{base}/{name} is refused: {reason}")
                counts += InboxCounts(refused=1)
            else:
                _copy_picture(local, content, _caption(local) or _stem_caption(path.stem), target)
                present.add(content)
                counts += InboxCounts(accepted=1)
        known[name] = {"etag": etag, "refused": reason}
        write_json(ledger_file, ledger)
        shutil.rmtree(local.parent)
    return counts


def rejection_reason(path: Path) -> str | None:
    """Return why a file cannot be a picture of a data set with the caption beside it, None if it can."""
    from oft.pictures import load_picture

    if path.is_symlink():
        return "a link; put the picture itself here"
    try:
        load_picture(path)
        _caption(path)
    except DataError as error:
        return first_line(error)
    return None


def _pictures(inbox: Path) -> Iterator[Path]:
    """Yield the files of an inbox and its subfolders, sorted; no hidden ones, captions or refused ones."""
    for folder, subfolders, names in os.walk(inbox):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if Path(folder) == inbox and REFUSED_FOLDER in subfolders:
            subfolders.remove(REFUSED_FOLDER)
        for name in sorted(names):
            if is_picture(name):
                yield Path(folder) / name


def _caption(path: Path) -> str | None:
    """Return the text beside a picture, None where there is none.

    Raises:
        DataError: it is no text.
    """
    for sidecar in map(path.with_suffix, _SPELLED_SUFFIXES):
        if sidecar.is_file() and not sidecar.is_symlink():
            return read_text_file(sidecar)
    return None


def _stem_caption(stem: str) -> str:
    """Return a picture's file name as text: readers of plain folders use it as the caption."""
    return f"{words_of_name(stem)}\n"


def _content_name(sha256: str) -> str:
    """Return the name that a picture has in a data set's folder, without a suffix."""
    return sha256[:CONTENT_CHARS]


def _present_names(target: Path) -> set[str]:
    """Return the names, without suffixes, of the pictures in a data set's folder."""
    if not target.is_dir():
        return set()
    return {path.stem for path in target.iterdir() if path.suffix != ".txt"}


def _copy_picture(path: Path, name: str, caption: str, target: Path) -> None:
    """Copy a picture under a name of its content, a caption beside it."""
    place = target / f"{name}{_suffix(path.suffix)}"
    target.mkdir(parents=True, exist_ok=True)
    with atomic_file(place.with_suffix(".txt")) as partial:
        partial.write_text(caption, encoding="utf-8")
    with atomic_file(place) as partial:  # last: a picture whose caption exists is complete
        shutil.copyfile(path, partial)


def _suffix(suffix: str) -> str:
    """Return a suffix that readers take for a picture's, whatever the file's own: they go by content."""
    return suffix.lower() if suffix and is_picture(f"_{suffix}") else ".png"


def _quarantine(inbox: Path, path: Path, reason: str) -> None:
    aside = inbox / REFUSED_FOLDER
    aside.mkdir(exist_ok=True)
    name, number = path.name, 1
    while (aside / name).exists() or (aside / name).is_symlink():
        name, number = f"{path.stem}-{number}{path.suffix}", number + 1
    path.rename(aside / name)
    (aside / f"{name}.reason").write_text(f"{reason}\n", encoding="utf-8")
