from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from oft.conditions.ade20k_classes import PALETTE, colourise
from oft.conditions.segmentation import extract_segmentation, load_segmentation
from oft.errors import CheckpointError, DataError
from tests.oft.conditions.networks import save_segformer


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


def test_a_network_gives_ids_of_the_150_classes_at_the_pictures_size(
    tmp_path: Path, cat: NDArray[np.uint8]
) -> None:
    import torch
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    folder = save_segformer(tmp_path)
    pictures = [cat, cat[::-1].copy()]
    predicted = load_segmentation({"model": str(folder)}, "cpu")(pictures)
    network = SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    inputs = SegformerImageProcessor.from_pretrained(folder)(images=pictures, return_tensors="pt")
    with torch.no_grad():
        logits = network(**inputs).logits
    sized = torch.nn.functional.interpolate(logits, cat.shape[:2], mode="bilinear", align_corners=False)
    for ids, scores in zip(predicted, sized, strict=True):
        assert ids.dtype == np.uint8 and ids.min() >= 1 and len(np.unique(ids)) > 1
        np.testing.assert_array_equal(ids, scores.argmax(0).numpy() + 1)


def test_a_network_of_other_classes_is_refused(tmp_path: Path) -> None:
    folder = save_segformer(tmp_path, num_labels=19)
    with pytest.raises(CheckpointError, match="19 classes, ADE20K has 150"):
        load_segmentation({"model": str(folder)}, "cpu")
