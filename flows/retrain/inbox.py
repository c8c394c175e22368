"""New pictures that arrive in a folder or on S3: decoded, then copied into the data set's own folder.

A file that still grows waits; one that is no usable picture is moved aside with the reason and ends no run.
What is in place already is known by its content and not decoded again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.retrain.sources import DOWNLOAD, MADE_HERE, Hashes, resolve
from oft.datasets.layout import PICTURE_SUFFIXES
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
SETTLE_SECONDS = 60.0
CONTENT_CHARS = 32
# Readers that take a picture without an annotation beside it.
READERS = ("image_folder", "dreambooth")


class Taken(NamedTuple):
    """What a look at the inboxes found: pictures that are new in a data set, refused ones, and those that
    still grow.
    """

    accepted: int = 0
    refused: int = 0
    waiting: int = 0

    def __add__(self, other: object) -> Taken:
        assert isinstance(other, Taken)
        return Taken(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def take_inboxes(
    inboxes: Mapping[str, str],
    params: Params,
    person: Path | None,
    folder: Path,
    hashes: Hashes,
    log: Callable[[str], None],
    settle_seconds: float = SETTLE_SECONDS,
) -> Taken:
    """Copy what is new in every inbox into its data set's own folder.

    Args:
        folder: where it is noted which objects on S3 were looked at, and where they are fetched to.
        hashes: knows the content of files that were looked at before.

    Raises:
        UserError: an inbox belongs to no data set that takes pictures, or cannot be read.
    """
    # All are checked before the first picture moves.
    targets = {name: own_folder(name, params, person) for name in inboxes}
    taken = Taken()
    for name, place in inboxes.items():
        if is_remote(place):
            taken += take_remote(place, targets[name], folder, log)
        else:
            taken += take_folder(resolve(place, person), targets[name], hashes, log, settle_seconds)
    return taken


def own_folder(name: str, params: Params, person: Path | None) -> Path:
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
    if source in (*MADE_HERE, DOWNLOAD) or is_remote(source):
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
    return resolve(source, person) / below


def take_folder(
    inbox: Path,
    target: Path,
    hashes: Hashes,
    log: Callable[[str], None],
    settle_seconds: float = SETTLE_SECONDS,
) -> Taken:
    """Copy the new pictures of a folder; they stay where they are, refused ones go to its ``refused/``.

    Raises:
        UserError: there is no such folder, or a file cannot be read or written.
    """
    if not inbox.is_dir():
        raise UserError(f"there is no inbox folder {inbox}; make it, or correct the path")
    taken, placed = Taken(), _placed(target)
    for path in _pictures(inbox):
        try:
            # A link is refused without reading what it leads to.
            name = "" if path.is_symlink() else _content_name(hashes.sha256(path))
            if name in placed:
                continue
            if name and time.time() - path.stat().st_mtime < settle_seconds:
                taken += Taken(waiting=1)
            elif reason := refusal(path):
                _move_aside(inbox, path, reason)
                log(f"{path.relative_to(inbox)} is refused: {reason}")
                taken += Taken(refused=1)
            else:
                _place(path, name, _caption(path) or _words(path.stem), target)
                placed.add(name)
                taken += Taken(accepted=1)
        except FileNotFoundError:  # taken away while we looked
            continue
        except OSError as error:
            raise UserError(
                f"inbox {inbox}: {path.name} cannot be taken: {error.strerror}; give this user the right to "
                "read it, and to write to the inbox and the data set's folder"
            ) from error
    return taken


def take_remote(url: str, target: Path, folder: Path, log: Callable[[str], None]) -> Taken:
    """Copy the new pictures below ``s3://bucket/prefix``; each version is looked at once for each target.

    Raises:
        DataError: the prefix cannot be read.
    """
    ledger_file = folder / LEDGER_FILE
    ledger: dict[str, Any] = read_json(ledger_file) if ledger_file.is_file() else {}
    known = ledger.setdefault(str(target), {}).setdefault(url, {})
    versions = list_versions(url)
    taken, placed = Taken(), _placed(target)
    for name, (_, etag) in versions.items():
        path = PurePosixPath(name)
        if path.suffix.lower() == ".txt" or path.name.startswith("."):
            continue
        if known.get(name, {}).get("etag") == etag:
            continue
        # Under a name of ours: a key may hold anything.
        local = folder / "incoming" / f"{stable_hash(name)[:CONTENT_CHARS]}{_suffix(path.suffix)}"
        base = url.rstrip("/")
        fetch_remote(f"{base}/{name}", local)
        sidecar = str(path.with_suffix(".txt"))
        caption = _words(path.stem)
        if sidecar in versions:
            fetch_remote(f"{base}/{sidecar}", local.with_suffix(".txt"))
            caption = _caption(local) or caption
        content, reason = _content_name(sha256_file(local)), None
        if content not in placed:
            if reason := refusal(local):
                log(f"{base}/{name} is refused: {reason}")
                taken += Taken(refused=1)
            else:
                _place(local, content, caption, target)
                placed.add(content)
                taken += Taken(accepted=1)
        known[name] = {"etag": etag, "refused": reason}
        write_json(ledger_file, ledger)
        shutil.rmtree(local.parent)
    return taken


def refusal(path: Path) -> str | None:
    """Return why a file cannot be a picture of a data set, None where it can."""
    from oft.pictures import load_picture

    if path.is_symlink():
        return "a link; put the picture itself here"
    try:
        load_picture(path)
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
            if not name.startswith(".") and Path(name).suffix.lower() != ".txt":
                yield Path(folder) / name


def _caption(path: Path) -> str | None:
    """Return the text beside a picture, None where there is none."""
    sidecar = path.with_suffix(".txt")
    if sidecar.is_symlink() or not sidecar.is_file():
        return None
    return sidecar.read_text(encoding="utf-8-sig", errors="replace")


def _words(stem: str) -> str:
    """Return a picture's own name, which readers of plain folders take for a caption, as text."""
    return stem.replace("-", " ").replace("_", " ") + "\n"


def _content_name(sha256: str) -> str:
    """Return the name that a picture has in a data set's folder, without a suffix."""
    return sha256[:CONTENT_CHARS]


def _placed(target: Path) -> set[str]:
    """Return the names, without suffixes, of the pictures in a data set's folder."""
    if not target.is_dir():
        return set()
    return {path.stem for path in target.iterdir() if path.suffix != ".txt"}


def _place(path: Path, name: str, caption: str, target: Path) -> None:
    """Copy a picture under a name of its content, a caption beside it."""
    place = target / f"{name}{_suffix(path.suffix)}"
    target.mkdir(parents=True, exist_ok=True)
    with atomic_file(place.with_suffix(".txt")) as partial:
        partial.write_text(caption, encoding="utf-8")
    with atomic_file(place) as partial:  # last: what a caption stands beside is there to be read
        shutil.copyfile(path, partial)


def _suffix(suffix: str) -> str:
    """Return a suffix that readers know, whatever a file calls itself: its content is what counts."""
    return suffix.lower() if suffix.lower() in PICTURE_SUFFIXES else ".png"


def _move_aside(inbox: Path, path: Path, reason: str) -> None:
    aside = inbox / REFUSED_FOLDER
    aside.mkdir(exist_ok=True)
    name, number = path.name, 1
    while (aside / name).exists() or (aside / name).is_symlink():
        name, number = f"{path.stem}-{number}{path.suffix}", number + 1
    path.rename(aside / name)
    (aside / f"{name}.reason").write_text(f"{reason}\n", encoding="utf-8")
