from __future__ import annotations

import cv2
import numpy as np
import pytest

from oft.conditions.densepose import MIRRORED_PARTS, NUM_PARTS, PART_COLOURS, extract_densepose
from oft.errors import DataError


def test_colours_are_viridis_at_the_scaled_part_index() -> None:
    # DensePose's visualiser: index * 255 / 24, cut to uint8, through OpenCV's colour map.
    levels = (np.arange(NUM_PARTS + 1, dtype=np.float32) * (255 / NUM_PARTS)).clip(0, 255).astype(np.uint8)
    viridis = cv2.applyColorMap(levels[None], cv2.COLORMAP_VIRIDIS)[0, :, ::-1]
    np.testing.assert_array_equal(PART_COLOURS, viridis)


def test_the_background_is_viridis_at_zero() -> None:
    assert extract_densepose(np.zeros((2, 3), dtype=np.uint8)).tolist() == [[[68, 1, 84]] * 3] * 2


def test_parts_keep_different_colours() -> None:
    coloured = extract_densepose(np.arange(NUM_PARTS + 1)[None])
    assert len(np.unique(coloured[0], axis=0)) == NUM_PARTS + 1


def test_an_id_out_of_range_is_refused() -> None:
    with pytest.raises(DataError, match="0 to 24, got 25"):
        extract_densepose(np.full((2, 2), 25, dtype=np.uint8))


def test_mirroring_swaps_left_and_right_and_mirroring_twice_changes_nothing() -> None:
    # detectron2's point_label_symmetries of DensePose.
    swapped = [
        (3, 4),
        (5, 6),
        (7, 8),
        (9, 10),
        (11, 12),
        (13, 14),
        (15, 16),
        (17, 18),
        (19, 20),
        (21, 22),
        (23, 24),
    ]
    expected = np.arange(NUM_PARTS + 1)
    for right, left in swapped:
        expected[[right, left]] = left, right
    np.testing.assert_array_equal(MIRRORED_PARTS, expected)
    np.testing.assert_array_equal(MIRRORED_PARTS[MIRRORED_PARTS], np.arange(NUM_PARTS + 1))
