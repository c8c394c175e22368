from __future__ import annotations

from pathlib import Path

import pytest

from oft.acquire import photos
from oft.acquire.photos import PHOTO_SIDE_PX, PHOTOS, Photo, write_photos
from oft.datasets import read
from oft.errors import DataError
from oft.pictures import load_picture
from oft.types import Counts


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_photos_are_an_image_folder_with_captions(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    examples = list(read("image_folder", tmp_path / "photos", "val", Counts()))
    assert {example.key: example.captions for example in examples} == {
        photo.name: (photo.caption,) for photo in PHOTOS
    }
    licences = (tmp_path / "photos" / "LICENCE").read_text()
    for example in examples:
        image = load_picture(example.image)
        assert max(image.size) <= PHOTO_SIDE_PX and min(image.size) >= 256
        assert f"{example.key}.png: " in licences
        assert example.licence == licences.splitlines()[0]
    for photo in PHOTOS:
        assert photo.author in licences and photo.licence in licences
    assert (
        "flower.jpg; vultilion (Flickr), CC-BY-2.0 (https://creativecommons.org/licenses/by/2.0/)" in licences
    )
    write_photos(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "photos")


@pytest.mark.parametrize("package", ["skimage", "no_such_package"])
def test_a_photo_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr(photos, "PHOTOS", (Photo("x", package, "data/nowhere.png", "x", "x", "x"),))
    with pytest.raises(DataError, match=f"'x' is not installed: {package}/data/nowhere.png"):
        write_photos(tmp_path / "photos")
    assert not (tmp_path / "photos").exists()
