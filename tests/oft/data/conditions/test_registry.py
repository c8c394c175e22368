from __future__ import annotations

import numpy as np
import pytest

from oft.data.conditions import CONDITIONS, extract_condition
from oft.data.conditions.canny import extract_canny
from oft.errors import DataError

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", sorted(CONDITIONS))
def test_a_condition_is_a_picture_of_the_same_size_and_a_function_of_its_source(name: str) -> None:
    condition = CONDITIONS[name]
    assert condition.name == name
    assert condition.keeps_labels == (condition.annotation == "labels") == (condition.num_labels is not None)
    labels = np.random.default_rng(0).integers(0, condition.num_labels or 2, (16, 16), dtype=np.uint8)
    made = extract_condition(condition, IMAGE, labels)
    assert made.shape == IMAGE.shape and made.dtype == np.uint8
    other_image = extract_condition(condition, 255 - IMAGE, labels)
    assert (condition.annotation is None) or (other_image == made).all()
    np.testing.assert_array_equal(extract_condition(condition, IMAGE, labels), made)


def test_settings_reach_the_extractor() -> None:
    made = extract_condition(CONDITIONS["canny"], IMAGE, None, low_threshold=10, high_threshold=20)
    np.testing.assert_array_equal(made, extract_canny(IMAGE, 10, 20))


def test_a_condition_made_from_an_annotation_needs_one() -> None:
    with pytest.raises(DataError, match=r"'segmentation' is made from an annotation"):
        extract_condition(CONDITIONS["segmentation"], IMAGE, None)
