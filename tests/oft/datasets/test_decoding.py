from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from oft.datasets import read
from oft.datasets.decoding import Unusable, Wanted, decode, iterate_pictures
from oft.pictures import load_picture
from oft.types import AnnotationKind, Counts, Example


def test_faults_are_counted_by_reason_and_end_no_run(ade20k_root: Path) -> None:
    counts = Counts()
    examples = read("ade20k", ade20k_root, "train", counts)
    decoded = list(iterate_pictures(examples, counts, Wanted(16, "labels")))
    assert [picture.example.key for picture in decoded] == ["ADE_train_00000001"]
    assert counts.dropped == {"truncated": 1, "unreadable": 1, "annotation_missing": 1, "size_mismatch": 1}
    assert counts.seen == counts.kept + sum(counts.dropped.values()) == 5
    assert counts.offenders["truncated"] == ["ADE_train_00000002.jpg"]


def test_picture_and_annotation_come_at_full_size(ade20k_root: Path) -> None:
    counts = Counts()
    examples = read("ade20k", ade20k_root, "val", counts)
    [decoded] = iterate_pictures(examples, counts, Wanted(16, "labels"))
    assert decoded.image.mode == "RGB" and decoded.image.size == (32, 24)
    assert decoded.annotation is not None and decoded.annotation.shape == (24, 32)
    assert decoded.example.key == "ADE_val_00000001"


def test_small_pictures_are_dropped_by_their_shorter_side(ade20k_root: Path) -> None:
    for min_side_px, kept in ((24, 1), (25, 0)):
        counts = Counts()
        examples = read("ade20k", ade20k_root, "val", counts)
        decoded = list(iterate_pictures(examples, counts, Wanted(min_side_px)))
        assert len(decoded) == counts.kept == kept
        assert counts.dropped["too_small"] == 1 - kept


def test_part_ids_come_from_the_asked_channel(deepfashion_root: Path) -> None:
    counts = Counts()
    examples = read("deepfashion", deepfashion_root, "train", counts)
    decoded = list(iterate_pictures(examples, counts, Wanted(16, "labels", 2, 25)))
    for picture in decoded:
        assert picture.annotation is not None
        np.testing.assert_array_equal(picture.annotation[0], np.arange(28) % 25)
    assert counts.kept == len(decoded) == 2 and counts.dropped == {"annotation_missing": 1}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Wanted(16, "labels"), "annotation_wrong_mode"),
        (Wanted(16, "labels", annotation_channel=1, num_labels=25), "label_out_of_range"),
        (Wanted(16, "landmarks"), "annotation_wrong_form"),
    ],
)
def test_annotations_of_another_kind_are_counted(deepfashion_root: Path, wanted: Wanted, reason: str) -> None:
    counts = Counts()
    examples = read("deepfashion", deepfashion_root, "train", counts)
    assert not list(iterate_pictures(examples, counts, wanted))
    assert counts.dropped == {reason: 2, "annotation_missing": 1}


def test_damaged_annotations_are_counted_and_may_be_left_alone(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    image = save_picture(tmp_path / "a.jpg")
    (tmp_path / "a.png").write_bytes(b"")
    example = Example("a", image, tmp_path / "a.png", (), "val", "none")
    counts = Counts()
    assert not list(iterate_pictures([example], counts, Wanted(annotation="labels")))
    assert counts.dropped == {"annotation_unreadable": 1}
    [decoded] = iterate_pictures([example], counts, Wanted())
    assert decoded.annotation is None


def test_an_example_without_the_annotation_wanted_is_dropped(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    example = Example("a", save_picture(tmp_path / "a.jpg"), None, (), "val", "none")
    counts = Counts()
    assert not list(iterate_pictures([example], counts, Wanted(annotation="picture")))
    assert counts.offenders == {"annotation_missing": ["a.jpg"]}
    assert len(list(iterate_pictures([example], counts, Wanted()))) == 1


def test_landmarks_are_scaled_to_the_size_the_picture_is_stored_at(celeba_hq_root: Path) -> None:
    examples = list(read("celeba_hq", celeba_hq_root, "train", Counts()))
    [decoded, _] = iterate_pictures(examples, Counts(), Wanted(annotation="landmarks"))
    assert decoded.image.size == (32, 32) and decoded.annotation is not None
    marked = np.loadtxt(celeba_hq_root / "landmarks" / "0.txt")
    np.testing.assert_allclose(decoded.annotation, (marked + 0.5) / 32 - 0.5)
    own = replace(examples[0], marked_side_px=None)
    with pytest.raises(Unusable) as caught:
        decode(own, Wanted(annotation="landmarks"))
    assert (caught.value.reason, caught.value.name) == ("landmarks_outside", "0.txt")


def test_negative_ids_are_out_of_range(tmp_path: Path, save_picture: Callable[..., Path]) -> None:
    image = save_picture(tmp_path / "a.jpg", height_px=4, width_px=4)
    Image.fromarray(np.full((4, 4), -1, np.int32)).save(tmp_path / "a.tif")
    example = Example("a", image, tmp_path / "a.tif", (), "val", "none")
    with pytest.raises(Unusable, match="label_out_of_range"):
        decode(example, Wanted(annotation="labels", num_labels=151))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["labels", "picture"])
def test_what_lies_on_a_turned_picture_stays_on_it(
    tmp_path: Path, orientation: int, kind: AnnotationKind
) -> None:
    stored = np.random.default_rng(orientation).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(load_picture(tmp_path / "a.png"))
    example = Example("a", tmp_path / "a.png", tmp_path / "map.png", (), "val", "none")

    def decoded(annotation: NDArray[np.uint8]) -> NDArray[Any]:
        Image.fromarray(annotation if kind == "picture" else annotation[..., 0]).save(tmp_path / "map.png")
        found = decode(example, Wanted(annotation=kind))
        np.testing.assert_array_equal(np.asarray(found.image), upright)
        assert found.annotation is not None
        return found.annotation

    if orientation in (2, 3, 4):
        with pytest.raises(Unusable, match="orientation_unclear"):
            decoded(stored)
        return
    for made_on in (stored, upright):
        np.testing.assert_array_equal(decoded(made_on), upright if kind == "picture" else upright[..., 0])


def test_landmarks_on_a_turned_picture_are_dropped(celeba_hq_root: Path) -> None:
    path = celeba_hq_root / "CelebA-HQ-img" / "0.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)
    example, *_ = read("celeba_hq", celeba_hq_root, "train", Counts())
    with pytest.raises(Unusable, match="orientation_unclear"):
        decode(example, Wanted(annotation="landmarks"))
    assert decode(example, Wanted()).image.size == (32, 32)
