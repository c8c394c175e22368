"""A user's own data set, copied from a folder or from S3, and the count of what a data set holds."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

from oft.datasets import read
from oft.datasets.layout import walk_folders
from oft.errors import DataError
from oft.keys import distinct
from oft.progress import BYTES, progress
from oft.storage import atomic_folder, fetch_remote, list_remote, require_space, translate_enospc
from oft.types import SPLITS, Counts, Split


def check_folder(source: Path, target: Path) -> None:
    """Refuse a user's folder that cannot become the data set at ``target``.

    Raises:
        DataError: it is missing, empty or unreadable, or one of the two lies within the other.
    """
    if not source.is_dir():
        kind = "a file" if source.exists() else "missing"
        raise DataError(
            f"data folder {source} is {kind}; it must be an existing folder; correct the path in params"
        )
    if not os.access(source, os.R_OK | os.X_OK):
        raise DataError(
            f"data folder {source} cannot be read; give this user the right to (`chmod -R u+rX {source}`)"
        )
    real_source, real_target = source.resolve(), target.parent.resolve() / target.name
    if real_source.is_relative_to(real_target) or real_target.is_relative_to(real_source):
        raise DataError(
            f"data folder {source} and its place {target} lie within one another; move the data elsewhere"
        )
    if not any(source.iterdir()):
        raise DataError(
            f"data folder {source} is empty; put the data set there or correct the path in params"
        )


def place_folder(source: Path, target: Path) -> None:
    """Make a user's own folder the data set at ``target``, whole or not at all.

    A copy: what lies in a DVC out is made read-only or linked into its cache, and a user's originals must
    stay as they are. What is no regular file (a link that leads nowhere, a pipe) is named and left out.

    Raises:
        DataError: the source is missing, empty, unreadable, holds a link that leads back up, one of the two
            folders lies within the other, or the disk is too small.
    """
    source, target = Path(source), Path(target)
    check_folder(source, target)
    total_bytes = _size_bytes(source)
    require_space({target: total_bytes})
    left_out = Counts()
    with atomic_folder(target) as partial, progress(total_bytes, f"copying {source}", BYTES) as bar:

        def copy(path: str, place: str) -> None:
            with translate_enospc(target):
                shutil.copyfile(path, place)
            bar.advance(os.path.getsize(place))

        # Not copytree's ignore_dangling_symlinks: it looks for what links name from the working folder.
        def pass_over(folder: str, names: list[str]) -> list[str]:
            paths = {name: os.path.join(folder, name) for name in sorted(names)}
            no_files = [
                name for name, path in paths.items() if not os.path.isfile(path) and not os.path.isdir(path)
            ]
            for name in no_files:
                left_out.drop("missing", paths[name])
            return no_files

        try:
            shutil.copytree(source, partial, ignore=pass_over, dirs_exist_ok=True, copy_function=copy)
        except shutil.Error as error:
            faults = error.args[0]
            raise DataError(
                f"{len(faults)} files of data folder {source} cannot be copied; the first: {faults[0][0]} "
                f"({faults[0][2]}); make it readable or remove it"
            ) from error
        except OSError as error:
            raise DataError(f"data folder {source} cannot be copied to {target}: {error}") from error
    for reason, names in left_out.offenders.items():
        print(
            f"left out of {target}: {left_out.dropped[reason]} that are no regular files (links that lead "
            f"nowhere, pipes), the first: {', '.join(names)}"
        )


def place_remote(url: str, target: Path) -> None:
    """Make what lies below ``s3://bucket/prefix`` the data set at ``target``, whole or not at all.

    Raises:
        DataError: nothing lies there, an object's name is no path below it, it cannot be read, or the disk is
            too small.
    """
    sizes = list_remote(url)
    if not sizes:
        raise DataError(f"{url} holds nothing; put the data set there or correct the address in params")
    for name in sizes:
        if {"", ".", ".."} & set(name.split("/")):
            raise DataError(f"{url} has an object {name!r}, which is no path below it; rename or remove it")
    total_bytes = sum(sizes.values())
    require_space({target: total_bytes})
    with atomic_folder(target) as partial, progress(total_bytes, f"copying {url}", BYTES) as bar:
        for name, size_bytes in sizes.items():
            try:
                fetch_remote(f"{url.rstrip('/')}/{name}", partial / name)
            except OSError as error:  # a name too long, or that of a folder of others
                raise DataError(f"{url}: its object {name!r} cannot be written: {error.strerror}") from error
            bar.advance(size_bytes)


def count_layout(reader: str, root: Path) -> dict[Split, dict[str, object]]:
    """Read a data set's listings without decoding a picture, and return the counts of each split; ``kept`` is
    how many examples the reader yields.

    Raises:
        DataError: the layout is not the reader's, two pictures share a key, or no split has a usable picture.
    """
    counted: dict[Split, Counts] = {split: Counts() for split in SPLITS}
    keys: set[str] = set()
    for split, counts in counted.items():
        counts.kept = sum(1 for _ in distinct(read(reader, root, split, counts), keys))
    if not any(counts.kept for counts in counted.values()):
        listed = sum(counts.seen for counts in counted.values())
        dropped = sum((counts.dropped for counts in counted.values()), Counter[str]())
        reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items())) or "none"
        raise DataError(
            f"{root} has no usable picture for reader {reader!r} (listed {listed}, dropped: {reasons}); "
            "complete the data set or choose another reader"
        )
    return {split: counts.to_json() for split, counts in counted.items()}


def _size_bytes(source: Path) -> int:
    """Return the size of all files of a folder; what cannot be looked at is left to the copy to name."""
    paths = (folder / name for folder, _, names in walk_folders(source) for name in names)
    return sum(path.stat().st_size for path in paths if path.is_file())
