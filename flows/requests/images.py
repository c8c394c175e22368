"""Collect the pictures of a request from its source, and decode every one before the training starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.requests.decoding import decode_pictures
from flows.requests.faults import MAX_FAULTS
from flows.requests.site import Site
from flows.requests.sources import Wanted, fetch_files
from oft.errors import DataError, UserError
from oft.pictures import Size
from oft.storage import sha256_file


def collect_images(source: str, resolution_px: int, folder: Path, site: Site, wanted: Wanted) -> list[Path]:
    """Return the pictures of a request in order of their content, each sound and large enough.

    Args:
        source: see `flows.requests.sources.fetch_files`.
        resolution_px: the shorter side must have this at least.
        folder: an empty folder of the run's own, for downloads.

    Raises:
        DataError: the source cannot be read or breaks a limit, or a picture is at fault; the
            message names the faulty pictures.
    """
    try:
        found = fetch_files(source, folder, site, wanted).paths
        require_number(len(found), wanted)
        _, faults = check_pictures(found, resolution_px, folder)
        refuse(faults, len(found))
        return sorted(found, key=sha256_file)
    except UserError as error:
        raise DataError(f"{wanted.key}: {error}") from error


def require_number(number: int, wanted: Wanted) -> None:
    """Return if there are enough pictures; that there are not too many was checked as they were listed.

    Raises:
        DataError: there are too few.
    """
    if number < wanted.fewest:
        raise DataError(f"there are {number} pictures; give {wanted.fewest} to {wanted.most}")


def check_pictures(
    found: Sequence[Path], resolution_px: int, folder: Path
) -> tuple[dict[Path, Size], list[str]]:
    """Return the sizes, upright, of the pictures that decode, and what is wrong with pictures."""
    sizes, faults = decode_pictures(found, folder)
    for path, (width, height) in sizes.items():
        if min(width, height) < resolution_px:
            faults.append(
                f"{path.name}: has {width} x {height} pixels; the shorter side must have {resolution_px}"
            )
    return sizes, faults


def refuse(faults: Sequence[str], number: int) -> None:
    """Return if there is no fault in any of so many pictures.

    Raises:
        DataError: there is; the message has the first faults, and how many there are.
    """
    if not faults:
        return
    shown = [f"{len(faults)} of {number} pictures cannot be used:", *faults[:MAX_FAULTS]]
    if (num_more := len(faults) - MAX_FAULTS) > 0:
        shown.append(f"and {num_more} more")
    raise DataError("\n    ".join(shown))
