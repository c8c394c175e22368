from __future__ import annotations

import cv2
import numpy as np

from oft.conditions.canny import extract_canny


def smooth_picture() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def test_edges_are_opencv_s_in_all_three_channels() -> None:
    image = smooth_picture()
    for low, high in ((100, 200), (10, 40)):
        edges = extract_canny(image, low, high)
        assert edges.shape == image.shape and edges.dtype == np.uint8
        for channel in range(3):
            np.testing.assert_array_equal(edges[..., channel], cv2.Canny(image, low, high))


def test_edges_are_white_on_black_and_a_flat_picture_has_none() -> None:
    assert set(np.unique(extract_canny(smooth_picture()))) == {0, 255}
    assert not extract_canny(np.full((16, 16, 3), 90, dtype=np.uint8)).any()


def test_a_view_of_an_array_gives_the_same_edges() -> None:
    image = smooth_picture()
    view = np.asfortranarray(image)
    np.testing.assert_array_equal(extract_canny(view), extract_canny(image))
