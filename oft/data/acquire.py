"""Data sets at hand: a user's own folder, and the photographs that come with ordinary dependencies."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from oft.data.pictures import RESAMPLING, encode_png, load_picture
from oft.data.readers import read
from oft.data.readers.layout import LICENCE_FILE
from oft.errors import DataError
from oft.storage import atomic_folder
from oft.types import SPLITS, Counts, Split

PHOTO_SIDE_PX = 512


@dataclass(frozen=True)
class Photo:
    """A photograph inside an installed package."""

    name: str
    package: str
    path: str
    caption: str
    licence: str


PHOTOS: tuple[Photo, ...] = (
    Photo("astronaut", "skimage", "data/astronaut.png", "a person in red clothes", "public domain, NASA"),
    Photo("camera", "skimage", "data/camera.png", "a person with a camera on grass", "CC0-1.0, Lav Varshney"),
    Photo("cat", "skimage", "data/chelsea.png", "a cat", "CC0-1.0, Stefan van der Walt"),
    Photo("coffee", "skimage", "data/coffee.png", "a cup of coffee", "CC0-1.0, Rachel Michetti"),
    Photo("coins", "skimage", "data/coins.png", "several coins", "no known restrictions, Brooklyn Museum"),
    Photo("flower", "sklearn", "datasets/images/flower.jpg", "a flower", "CC-BY-2.0, vultilion (Flickr)"),
    Photo("horse", "skimage", "data/horse.png", "a black horse", "CC0-1.0, Andreas Preuss"),
    Photo(
        "motorcycle",
        "skimage",
        "data/motorcycle_left.png",
        "a red motorcycle",
        "Middlebury stereo 2014, Scharstein et al.",
    ),
    Photo("rocket", "skimage", "data/rocket.jpg", "a rocket", "public domain, SpaceX"),
    Photo(
        "temple",
        "sklearn",
        "datasets/images/china.jpg",
        "a tall house, trees and water",
        "CC-BY-2.0, danielbuechele (Flickr)",
    ),
)


def place_folder(source: Path, target: Path) -> None:
    """Make a user's own folder the data set at ``target``, whole or not at all.

    A copy: what lies in a DVC out is made read-only or linked into its cache, and a user's originals must
    stay as they are.

    Raises:
        DataError: the source is missing, empty, unreadable, or one of the two folders lies within the other.
    """
    source, target = Path(source), Path(target)
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
    _refuse_loops(source)
    with atomic_folder(target) as partial:
        try:
            shutil.copytree(source, partial, dirs_exist_ok=True, copy_function=shutil.copyfile)
        except shutil.Error as error:
            faults = error.args[0]
            raise DataError(
                f"{len(faults)} files of data folder {source} cannot be copied; the first: {faults[0][0]} "
                f"({faults[0][2]}); make it readable or remove it"
            ) from error
        except OSError as error:
            raise DataError(f"data folder {source} cannot be copied to {target}: {error}") from error


def write_photos(root: Path) -> None:
    """Write the photographs that come with scikit-image and scikit-learn: an image folder with captions.

    PNG, at most 512 px on the longer side, a text file with the caption beside each, and LICENCE with their
    origins.

    Raises:
        DataError: one of the packages is not installed or came without the picture.
    """
    with atomic_folder(root) as partial:
        lines = ["various: see LICENCE of the photos", ""]
        for photo in PHOTOS:
            image = load_picture(_installed_file(photo))
            image.thumbnail((PHOTO_SIDE_PX, PHOTO_SIDE_PX), RESAMPLING["lanczos"])
            (partial / f"{photo.name}.png").write_bytes(encode_png(image))
            (partial / f"{photo.name}.txt").write_text(f"{photo.caption}\n", encoding="utf-8")
            lines.append(f"{photo.name}.png: {photo.package}/{photo.path}; {photo.licence}")
        (partial / LICENCE_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def count_layout(reader: str, root: Path) -> dict[Split, dict[str, object]]:
    """Read a data set's listings without decoding a picture, and return the counts of each split; ``kept`` is
    how many examples the reader yields.

    Raises:
        DataError: the layout is not the reader's, or no split has a usable picture.
    """
    counted: dict[Split, Counts] = {split: Counts() for split in SPLITS}
    for split, counts in counted.items():
        counts.kept = sum(1 for _ in read(reader, root, split, counts))
    if not any(counts.kept for counts in counted.values()):
        listed = sum(counts.seen for counts in counted.values())
        dropped = sum((counts.dropped for counts in counted.values()), Counter[str]())
        reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items())) or "none"
        raise DataError(
            f"{root} has no usable picture for reader {reader!r} (listed {listed}, dropped: {reasons}); "
            "complete the data set or choose another reader"
        )
    return {split: counts.to_json() for split, counts in counted.items()}


def _refuse_loops(source: Path) -> None:
    for folder, subfolders, _ in os.walk(source):
        for path in (Path(folder) / name for name in subfolders):
            if path.is_symlink() and Path(folder).resolve().is_relative_to(path.resolve()):
                raise DataError(f"in data folder {source} the link {path} leads back up; remove the link")


def _installed_file(photo: Photo) -> Path:
    spec = find_spec(photo.package)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / photo.path if folders else None
    if path is None or not path.is_file():
        raise DataError(
            f"the photograph {photo.name!r} is not installed: {photo.package}/{photo.path} is missing; "
            "install scikit-image and scikit-learn from the lock file (requirements/runtime.txt)"
        )
    return path
