"""Picture, id map, conditioning picture and landmarks keep one geometry, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from oft.pictures import Size
from oft.prepare.geometry import MAX_ASPECT, Geometry, buckets, geometry_of, mirror_annotation, nearest_bucket
from oft.types import AnnotationKind
from tests.conftest import dataset

SIZES = [(64, 64), (96, 64), (64, 96), (33, 80), (210, 70), (7, 5)]
GEOMETRIES = [Geometry(64, "crop"), Geometry(64, "pad"), Geometry(64, "buckets"), Geometry(24, "crop")]
GEOMETRIES += [Geometry(64, "random_crop", position) for position in ((0.4, 0.6), (0.6, 0.4))]


def noise(size: Size) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", SIZES)
def test_everything_of_a_sample_gets_the_size_that_was_foretold(size: Size, geometry: Geometry) -> None:
    width, height = geometry.size_px(size)
    assert geometry.picture(Image.fromarray(noise(size))).size == (width, height)
    assert geometry.annotation("picture", noise(size), size).shape == (height, width, 3)
    assert geometry.annotation("labels", noise(size)[..., 0], size).shape == (height, width)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("size", SIZES[:5])
def test_a_landmark_stays_on_what_it_marks(size: Size, geometry: Geometry) -> None:
    """A blob in picture, map and conditioning picture is where the point at its centre comes to lie."""
    width, height = size
    point = np.array([[width // 2 + 4.0, height // 2 - 6.0]])
    rows, columns = np.mgrid[:height, :width]
    blob = (abs(columns - point[0, 0]) <= 3) & (abs(rows - point[0, 1]) <= 3)
    array = np.repeat((blob * 255).astype(np.uint8)[..., None], 3, axis=2)
    [[x, y]] = geometry.annotation("landmarks", point, size)
    target = geometry.size_px(size)
    scale = max(target[0] / width, target[1] / height, 1)
    for found in (
        np.asarray(geometry.picture(Image.fromarray(array)))[..., 0],
        geometry.annotation("labels", array[..., 0], size),
        geometry.annotation("picture", array, size)[..., 0],
    ):
        weights = np.clip(found.astype(float) - 40, 0, None)
        rows, columns = np.mgrid[: found.shape[0], : found.shape[1]]
        centre = (columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()
        np.testing.assert_allclose(centre, (x, y), atol=0.5 * scale)


@pytest.mark.parametrize(("width_px", "height_px"), [(40, 20), (20, 40), (20, 20)])
def test_a_crop_takes_the_centre_and_a_pad_keeps_the_whole(width_px: int, height_px: int) -> None:
    pixels = np.zeros((height_px, width_px, 3), np.uint8)
    pixels[0, 0] = pixels[-1, -1] = 255
    picture = Image.fromarray(pixels)
    cropped = np.asarray(Geometry(20, "crop").picture(picture))
    padded = np.asarray(Geometry(40, "pad").picture(picture))
    assert cropped.shape == (20, 20, 3) and padded.shape == (40, 40, 3)
    assert cropped.any() == (width_px == height_px)
    assert padded.max() > 200


def test_a_random_crop_lies_anywhere_and_where_its_key_says() -> None:
    columns = np.tile(np.arange(96, dtype=np.uint8), (24, 1))
    picture = Image.fromarray(np.repeat(columns[..., None], 3, axis=2))
    geometry = Geometry(24, "random_crop")
    lefts = []
    for number in range(400):
        cropped = np.asarray(geometry.of(f"k{number}").picture(picture))
        left = int(cropped[0, 0, 0])
        np.testing.assert_array_equal(cropped[..., 0], columns[:, left : left + 24])
        lefts.append(left)
    assert (min(lefts), max(lefts)) == (0, 72) and 30 < np.mean(lefts) < 42
    assert geometry.of("k0") == geometry.of("k0") != geometry.of("k1")
    assert Geometry(24, "crop").of("k0") == Geometry(24, "crop")


def test_a_map_gets_no_new_id() -> None:
    ids = np.random.default_rng(0).choice([3, 90, 150], (70, 41)).astype(np.uint8)
    for geometry in GEOMETRIES:
        assert set(np.unique(geometry.annotation("labels", ids, (41, 70)))) <= {3, 90, 150}


@pytest.mark.parametrize("resolution_px", [8, 64, 256, 512, 520, 768, 1024])
def test_buckets_are_no_larger_than_the_square_and_as_good_turned(resolution_px: int) -> None:
    sizes = buckets(resolution_px)
    assert (resolution_px, resolution_px) in sizes and len(set(sizes)) == len(sizes)
    assert {(height, width) for width, height in sizes} == set(sizes)
    for width, height in sizes:
        assert 0.75 * resolution_px**2 <= width * height <= resolution_px**2
        assert max(width, height) <= MAX_ASPECT * min(width, height)
        assert width % 8 == height % 8 == 0
    aspects = [width / height for width, height in sizes]
    assert aspects == sorted(aspects)


def test_buckets_at_512_are_multiples_of_64() -> None:
    assert buckets(512)[:4] == ((320, 768), (384, 640), (448, 576), (512, 512))
    assert buckets(64)[:4] == ((40, 96), (48, 80), (56, 72), (64, 64))


@pytest.mark.parametrize(
    ("source", "bucket"),
    [
        ((640, 480), (576, 448)),
        ((480, 640), (448, 576)),
        ((1920, 1080), (640, 384)),
        ((900, 10), (768, 320)),
    ],
)
def test_a_picture_goes_to_the_bucket_of_the_nearest_aspect(source: Size, bucket: Size) -> None:
    assert nearest_bucket(source, buckets(512)) == bucket


def test_a_bucket_loses_no_more_than_its_aspect_demands() -> None:
    columns = np.tile(np.arange(144, dtype=np.uint8), (112, 1))
    picture = Image.fromarray(np.repeat(columns[..., None], 3, axis=2))
    kept = np.asarray(Geometry(64, "buckets").picture(picture))
    assert kept.shape == (56, 72, 3)
    assert kept.min() <= 2 and kept.max() >= 141
    cropped = np.asarray(Geometry(64, "crop").picture(picture))
    assert cropped.min() >= 15 and cropped.max() <= 128


def test_validation_pictures_are_square_whatever_training_takes() -> None:
    settings = dataset(fit="buckets")
    assert geometry_of(settings, 64, "train") == Geometry(64, "buckets")
    assert geometry_of(settings, 64, "val") == Geometry(64, "crop")
    settings = dataset(fit="random_crop")
    assert geometry_of(settings, 64, "train") == Geometry(64, "random_crop")
    assert geometry_of(settings, 64, "val") == Geometry(64, "crop")
    assert geometry_of(dataset(fit="pad"), 64, "val") == Geometry(64, "pad")


KINDS: list[tuple[AnnotationKind, NDArray[Any]]] = [
    ("labels", np.random.default_rng(0).integers(0, 5, (6, 9), dtype=np.uint8)),
    ("picture", noise((9, 6))),
    ("landmarks", np.random.default_rng(0).uniform(0, 6, (5, 2))),
]
SWAPPED = np.array([0, 2, 1, 3, 4])


@pytest.mark.parametrize("mirrored", [None, SWAPPED])
@pytest.mark.parametrize(("kind", "annotation"), KINDS)
def test_mirrored_twice_is_as_before(
    kind: AnnotationKind, annotation: NDArray[Any], mirrored: NDArray[np.integer] | None
) -> None:
    table = None if kind == "picture" else mirrored
    once = mirror_annotation(kind, annotation, 9, table)
    assert not np.array_equal(once, annotation)
    twice = mirror_annotation(kind, once, 9, table)
    np.testing.assert_allclose(twice, annotation, atol=1e-12)
    assert twice.dtype == annotation.dtype


def test_left_becomes_right() -> None:
    ids = np.array([[1, 1, 0, 2]], dtype=np.uint8)
    np.testing.assert_array_equal(mirror_annotation("labels", ids, 4, SWAPPED), [[1, 0, 2, 2]])
    points = np.array([[5.0, 0], [0, 1], [3, 1], [9, 5], [2, 4]])
    flipped = mirror_annotation("landmarks", points, 10, SWAPPED)
    np.testing.assert_array_equal(flipped, [[4, 0], [6, 1], [9, 1], [0, 5], [7, 4]])
