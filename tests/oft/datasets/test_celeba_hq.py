from __future__ import annotations

from pathlib import Path

import pytest

from oft.datasets.celeba_hq import read_celeba_hq
from oft.errors import DataError
from oft.types import Counts, Split


def names(root: Path, split: Split, counts: Counts | None = None) -> list[str]:
    return [example.image.name for example in read_celeba_hq(root, split, counts or Counts())]


def test_the_reference_split_is_by_number_and_faces_without_landmarks_are_counted(
    celeba_hq_root: Path,
) -> None:
    counts = Counts()
    assert names(celeba_hq_root, "train", counts) == ["0.jpg", "27010.jpg"]
    assert counts.seen == 3 and counts.offenders == {"annotation_missing": ["7.jpg"]}
    assert names(celeba_hq_root, "val") == ["27011.jpg", "29999.jpg"]


def test_a_face_has_landmarks_of_the_1024_px_picture_and_a_caption(celeba_hq_root: Path) -> None:
    first, _ = read_celeba_hq(celeba_hq_root, "train", Counts())
    assert first.annotation == celeba_hq_root / "landmarks" / "0.txt" and first.marked_side_px == 1024
    assert first.captions == ("a man",)
    assert [example.captions for example in read_celeba_hq(celeba_hq_root, "val", Counts())] == [(), ()]


def test_lists_go_before_numbers(celeba_hq_root: Path) -> None:
    (celeba_hq_root / "val.txt").write_text("0.jpg\n5.jpg\n")
    counts = Counts()
    assert names(celeba_hq_root, "val", counts) == ["0.jpg"] and counts.dropped == {"missing": 1}
    assert names(celeba_hq_root, "train") == ["27010.jpg", "27011.jpg", "29999.jpg"]


def test_the_reference_release_is_read_from_any_of_its_folders(celeba_hq_root: Path, tmp_path: Path) -> None:
    top = tmp_path / "data" / "celebhq-text"
    top.mkdir(parents=True)
    (celeba_hq_root / "CelebA-HQ-img").rename(top / "celeba-hq-img")
    (celeba_hq_root / "landmarks").rename(top / "celeba-hq-landmark2d")
    (tmp_path / "data" / "celebhq").mkdir()
    (celeba_hq_root / "prompt_train_blip.json").rename(
        tmp_path / "data" / "celebhq" / "prompt_train_blip.json"
    )
    first, _ = read_celeba_hq(tmp_path / "data", "train", Counts())
    assert first.captions == ("a man",)
    assert names(top, "val") == ["27011.jpg", "29999.jpg"]


def test_missing_landmarks_name_the_folder(celeba_hq_root: Path) -> None:
    (celeba_hq_root / "landmarks").rename(celeba_hq_root / "points")
    with pytest.raises(DataError, match=r"no folder .*/landmarks; expected CelebA-HQ's layout"):
        names(celeba_hq_root, "val")


@pytest.mark.parametrize("first", [0, 28_000])
def test_an_excerpt_from_one_side_is_dealt_out(first: int, tmp_path: Path) -> None:
    for folder, suffix in (("CelebA-HQ-img", "jpg"), ("landmarks", "txt")):
        (tmp_path / folder).mkdir()
        for number in range(first, first + 4):
            (tmp_path / folder / f"{number}.{suffix}").touch()
    train, val = names(tmp_path, "train"), names(tmp_path, "val")
    assert train and val and sorted(train + val) == [f"{number}.jpg" for number in range(first, first + 4)]
