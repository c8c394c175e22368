from __future__ import annotations

import numpy as np
import pytest

from oft.data.ade20k import PALETTE, colourise
from oft.data.conditions.segmentation import extract_segmentation
from oft.errors import DataError


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_each_id_has_its_palette_colour(dtype: type) -> None:
    labels = np.arange(151).reshape(1, 151)
    coloured = extract_segmentation(labels.astype(dtype))
    assert coloured.dtype == np.uint8
    np.testing.assert_array_equal(coloured[0], PALETTE)
    np.testing.assert_array_equal(coloured, colourise(labels.astype(np.uint8)))


@pytest.mark.parametrize("highest", [151, 255, 300])
def test_an_id_out_of_range_is_refused(highest: int) -> None:
    with pytest.raises(DataError, match=f"0 to 150, got {highest}"):
        extract_segmentation(np.full((2, 2), highest, dtype=np.uint16))
