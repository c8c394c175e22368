"""The photographs that come with ordinary dependencies: real pictures on a machine without a network."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from oft.datasets.layout import LICENCE_FILE
from oft.errors import DataError
from oft.pictures import RESAMPLING, encode_png, load_picture
from oft.storage import atomic_folder

PHOTO_SIDE_PX = 512


@dataclass(frozen=True)
class Photo:
    """A photograph inside an installed package, and who took it under which licence."""

    name: str
    package: str
    path: str
    caption: str
    licence: str
    author: str

    @property
    def credit(self) -> str:
        """What is to stand wherever the photograph does."""
        terms = LICENCE_TEXTS.get(self.licence)
        return f"{self.author}, {self.licence}{f' ({terms})' if terms else ''}"


LICENCE_TEXTS = {
    "CC-BY-2.0": "https://creativecommons.org/licenses/by/2.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
}

PHOTOS: tuple[Photo, ...] = (
    Photo("astronaut", "skimage", "data/astronaut.png", "a person in red clothes", "public domain", "NASA"),
    Photo(
        "camera", "skimage", "data/camera.png", "a person with a camera on grass", "CC0-1.0", "Lav Varshney"
    ),
    Photo("cat", "skimage", "data/chelsea.png", "a cat", "CC0-1.0", "Stefan van der Walt"),
    Photo("coffee", "skimage", "data/coffee.png", "a cup of coffee", "CC0-1.0", "Rachel Michetti"),
    Photo("coins", "skimage", "data/coins.png", "several coins", "no known restrictions", "Brooklyn Museum"),
    Photo("flower", "sklearn", "datasets/images/flower.jpg", "a flower", "CC-BY-2.0", "vultilion (Flickr)"),
    Photo("horse", "skimage", "data/horse.png", "a black horse", "CC0-1.0", "Andreas Preuss"),
    Photo(
        "motorcycle",
        "skimage",
        "data/motorcycle_left.png",
        "a red motorcycle",
        "Middlebury stereo 2014",
        "Scharstein et al.",
    ),
    Photo("rocket", "skimage", "data/rocket.jpg", "a rocket", "public domain", "SpaceX"),
    Photo(
        "temple",
        "sklearn",
        "datasets/images/china.jpg",
        "a tall house, trees and water",
        "CC-BY-2.0",
        "danielbuechele (Flickr)",
    ),
)


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
            lines.append(f"{photo.name}.png: {photo.package}/{photo.path}; {photo.credit}")
        (partial / LICENCE_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


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
