from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oft.data.decoding import iterate_pictures
from oft.data.readers import read
from oft.types import Counts, Example


def test_faults_are_counted_by_reason_and_end_no_run(ade20k_root: Path) -> None:
    counts = Counts()
    decoded = list(iterate_pictures(read("ade20k", ade20k_root, "train", counts), counts, 16))
    assert [example.key for example, _, _ in decoded] == ["ADE_train_00000001"]
    assert counts.dropped == {"truncated": 1, "unreadable": 1, "annotation_missing": 1, "size_mismatch": 1}
    assert counts.seen == counts.kept + sum(counts.dropped.values()) == 5
    assert counts.offenders["truncated"] == ["ADE_train_00000002.jpg"]


def test_picture_and_annotation_come_at_full_size(ade20k_root: Path) -> None:
    counts = Counts()
    [(example, image, labels)] = iterate_pictures(read("ade20k", ade20k_root, "val", counts), counts, 16)
    assert image.mode == "RGB" and image.size == (32, 24)
    assert labels is not None and labels.shape == (24, 32)
    assert example.key == "ADE_val_00000001"


def test_small_pictures_are_dropped_by_their_shorter_side(ade20k_root: Path) -> None:
    for min_side_px, kept in ((24, 1), (25, 0)):
        counts = Counts()
        decoded = list(iterate_pictures(read("ade20k", ade20k_root, "val", counts), counts, min_side_px))
        assert len(decoded) == counts.kept == kept
        assert counts.dropped["too_small"] == 1 - kept


def test_part_ids_come_from_the_asked_channel(deepfashion_root: Path) -> None:
    counts = Counts()
    examples = read("deepfashion", deepfashion_root, "train", counts)
    decoded = list(iterate_pictures(examples, counts, 16, annotation_channel=2, num_labels=25))
    for _, _, labels in decoded:
        assert labels is not None
        np.testing.assert_array_equal(labels[0], np.arange(28) % 25)
    assert counts.kept == len(decoded) == 2 and counts.dropped == {"annotation_missing": 1}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "annotation_wrong_mode"),
        ({"annotation_channel": 1, "num_labels": 25}, "label_out_of_range"),
    ],
)
def test_annotations_of_another_kind_are_counted(
    deepfashion_root: Path, options: dict[str, int], reason: str
) -> None:
    counts = Counts()
    examples = read("deepfashion", deepfashion_root, "train", counts)
    assert not list(iterate_pictures(examples, counts, 16, **options))  # type: ignore[arg-type]
    assert counts.dropped == {reason: 2, "annotation_missing": 1}


def test_damaged_annotations_are_counted_and_may_be_left_alone(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    image = save_picture(tmp_path / "a.jpg")
    (tmp_path / "a.png").write_bytes(b"")
    example = Example("a", image, tmp_path / "a.png", (), "val", "none")
    counts = Counts()
    assert not list(iterate_pictures([example], counts, 1))
    assert counts.dropped == {"annotation_unreadable": 1}
    [(_, _, labels)] = iterate_pictures([example], counts, 1, with_annotations=False)
    assert labels is None
