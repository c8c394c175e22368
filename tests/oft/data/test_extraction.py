from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.data.ade20k import colourise
from oft.data.examples import square
from oft.data.extraction import extract_split
from oft.data.pictures import load_picture
from oft.types import Counts
from tests.conftest import dataset
from tests.oft.data.conditions.networks import save_depth_anything, save_segformer


@pytest.mark.parametrize(("fit", "resolution_px"), [("crop", 24), ("pad", 32)])
def test_a_picture_and_its_id_map_keep_one_geometry(tmp_path: Path, fit: str, resolution_px: int) -> None:
    """The picture's red channel is its id map; at sizes that need no resampling they stay equal."""
    ids = np.random.default_rng(0).integers(0, 151, (24, 32), dtype=np.uint8)
    top = tmp_path / "ADEChallengeData2016"
    for kind, array in (("images", np.stack([ids] * 3, axis=2)), ("annotations", ids)):
        (top / kind / "training").mkdir(parents=True)
        Image.fromarray(array).save(top / kind / "training" / "a.png")
    [(key, condition, labels)] = extract_split(
        dataset("ade20k", fit=fit), "segmentation", {}, tmp_path, "train", resolution_px, Counts()
    )
    picture = square(load_picture(top / "images" / "training" / "a.png"), resolution_px, fit)
    assert key == "a" and labels is not None
    np.testing.assert_array_equal(labels, np.asarray(picture)[..., 0])
    np.testing.assert_array_equal(condition, colourise(labels.astype(np.uint8)))


def test_extraction_counts_what_it_leaves_out(ade20k_root: Path) -> None:
    counts = Counts()
    settings = dataset("ade20k")
    kept = list(extract_split(settings, "segmentation", {}, ade20k_root, "train", 16, counts))
    assert [key for key, _, _ in kept] == ["ADE_train_00000001"]
    assert counts.seen == counts.kept + counts.dropped.total() == 5
    too_small = Counts()
    assert not list(extract_split(settings, "segmentation", {}, ade20k_root, "val", 50, too_small))
    assert too_small.dropped == {"too_small": 1}


def test_a_condition_of_the_picture_takes_its_settings_and_keeps_no_id_map(coco_root: Path) -> None:
    def edges(low: int) -> int:
        [(_, condition, labels), _] = extract_split(
            dataset("coco"),
            "canny",
            {"low_threshold": low, "high_threshold": 200},
            coco_root,
            "val",
            24,
            Counts(),
        )
        assert labels is None and condition.shape == (24, 24, 3)
        return int((condition > 0).sum())

    assert edges(1) > edges(199)


def test_part_maps_are_read_from_their_channel_and_padded(deepfashion_root: Path) -> None:
    settings = dataset("deepfashion", fit="pad")
    found = list(extract_split(settings, "densepose", {}, deepfashion_root, "train", 40, Counts()))
    assert len(found) == 2
    for _, condition, labels in found:
        assert labels is not None and labels.shape == (40, 40) and condition.shape == (40, 40, 3)
        np.testing.assert_array_equal(labels[0, 6:34], np.arange(28) % 25)


def test_a_network_stands_in_for_maps_that_a_data_set_lacks(coco_root: Path, tmp_path: Path) -> None:
    model = {"model": str(save_segformer(tmp_path))}
    counts = Counts()
    found = list(extract_split(dataset("coco"), "segmentation", model, coco_root, "val", 24, counts))
    assert len(found) == counts.kept == 2
    for _, condition, labels in found:
        assert labels is not None and labels.shape == (24, 24) and labels.min() >= 1
        np.testing.assert_array_equal(condition, colourise(labels.astype(np.uint8)))


def test_a_network_is_not_loaded_where_a_data_set_has_maps(ade20k_root: Path) -> None:
    model = {"model": "/nowhere"}
    assert list(extract_split(dataset("ade20k"), "segmentation", model, ade20k_root, "train", 16, Counts()))


def test_a_condition_that_a_network_makes_keeps_no_id_map(coco_root: Path, tmp_path: Path) -> None:
    model = {"model": str(save_depth_anything(tmp_path))}
    found = list(extract_split(dataset("coco"), "depth", model, coco_root, "val", 24, Counts()))
    assert [(condition.shape, labels) for _, condition, labels in found] == [((24, 24, 3), None)] * 2
