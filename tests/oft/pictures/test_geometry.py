"""Pictures and the maps that lie over them are cropped, resized and padded alike."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from oft.conditions.ade20k_classes import colourise
from oft.pictures import pad_to_square, prepare, prepare_labels

SIZES = [(24, 32), (33, 17), (64, 64), (8, 8), (101, 150)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resolution_px", [8, 33, 64])
def test_prepare_and_prepare_labels_commute_with_colourise(size: tuple[int, int], resolution_px: int) -> None:
    labels = np.random.default_rng(0).integers(0, 151, size, dtype=np.uint8)
    coloured = prepare(Image.fromarray(colourise(labels)), resolution_px, "nearest")
    prepared = prepare_labels(labels, resolution_px).astype(np.uint8)
    np.testing.assert_array_equal(colourise(prepared), np.asarray(coloured))


@pytest.mark.parametrize("size", SIZES)
def test_padding_commutes_with_colourise_and_keeps_the_picture(size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 151, size, dtype=np.uint8)
    padded = pad_to_square(labels)
    assert padded.shape == (max(size), max(size))
    np.testing.assert_array_equal(colourise(padded), pad_to_square(colourise(labels)))
    top, left = ((max(size) - length) // 2 for length in size)
    np.testing.assert_array_equal(padded[top : top + size[0], left : left + size[1]], labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_prepared_labels_keep_their_type_and_make_no_new_id(dtype: type) -> None:
    labels: np.ndarray = np.random.default_rng(0).choice([0, 3, 120, 127], (40, 50)).astype(dtype)
    prepared = prepare_labels(labels, 16)
    assert prepared.dtype == dtype and prepared.shape == (16, 16)
    assert set(np.unique(prepared)) <= {0, 3, 120, 127}


def test_16_bit_ids_survive_preparation() -> None:
    labels = np.random.default_rng(0).integers(0, 65536, (30, 30), dtype=np.uint16)
    np.testing.assert_array_equal(prepare_labels(labels, 30), labels)


@pytest.mark.parametrize("resample", ["lanczos", "area", "nearest", Image.Resampling.BICUBIC])
def test_prepare_takes_the_centre_square(resample: Image.Resampling) -> None:
    values = np.zeros((20, 60, 3), dtype=np.uint8)
    values[:, 20:40] = (10, 200, 30)
    prepared = prepare(Image.fromarray(values), 10, resample)
    assert prepared.size == (10, 10)
    assert (np.asarray(prepared) == (10, 200, 30)).all()


def test_area_resampling_averages() -> None:
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    means = values.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    prepared = np.asarray(prepare(Image.fromarray(values), 8, "area"))
    np.testing.assert_allclose(prepared, means, atol=1.01)  # rounded after each of two passes
