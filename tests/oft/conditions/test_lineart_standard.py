from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oft.conditions.annotators import without_package_init
from oft.conditions.lineart_standard import REFERENCE_SIDE_PX, extract_lineart_standard


def test_lines_are_controlnet_aux_s_at_its_size() -> None:
    import skimage.data

    with without_package_init():
        from controlnet_aux.lineart_standard import LineartStandardDetector
    picture = skimage.data.astronaut()
    assert picture.shape == (REFERENCE_SIDE_PX, REFERENCE_SIDE_PX, 3)
    for sigma, threshold in ((6.0, 8.0), (2.0, 20.0)):
        expected = LineartStandardDetector()(picture, sigma, threshold, output_type="np")
        made = extract_lineart_standard(picture, sigma, threshold)
        assert made.dtype == np.uint8 and np.abs(made.astype(int) - expected).max() <= 1


def test_lines_are_light_on_black_and_of_the_pictures_size(photo: NDArray[np.uint8]) -> None:
    lines = extract_lineart_standard(photo)
    assert lines.shape == photo.shape
    assert (lines == lines[..., :1]).all() and lines.max() == 255 and np.median(lines) < 64


def test_the_mirror_image_has_the_mirrored_lines(photo: NDArray[np.uint8]) -> None:
    mirrored = extract_lineart_standard(photo[:, ::-1])[:, ::-1].astype(int)
    assert np.abs(mirrored - extract_lineart_standard(photo)).max() <= 1


def test_a_dark_stroke_is_a_line_and_a_light_one_is_none() -> None:
    picture = np.full((64, 64, 3), 128, dtype=np.uint8)
    picture[:, 20], picture[:, 44] = 40, 216
    lines = extract_lineart_standard(picture)
    assert (lines[:, 20] > 127).all() and not lines[:, 44].any()


def test_a_flat_picture_has_no_lines() -> None:
    assert not extract_lineart_standard(np.full((16, 24, 3), 90, dtype=np.uint8)).any()
