from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from oft.datasets.image_folder import read_image_folder
from oft.types import SPLITS, Counts


def test_pictures_are_found_at_any_depth_with_captions_beside_them_or_in_their_names(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    save_picture(tmp_path / "red_car-by the-sea.PNG")
    save_picture(tmp_path / "b" / "c" / "cat.jpg")
    (tmp_path / "b" / "c" / "cat.txt").write_text("a  cat\n\na tabby cat\n")
    save_picture(tmp_path / ".hidden" / "no.jpg")
    save_picture(tmp_path / "._cat.jpg")
    (tmp_path / "notes.md").write_text("no picture")
    counts = Counts()
    examples = list(read_image_folder(tmp_path, "val", counts))
    assert {example.key: example.captions for example in examples} == {
        "b-c-cat": ("a cat", "a tabby cat"),
        "red_car-by_the-sea": ("red car by the sea",),
    }
    assert counts.seen == 2
    assert not list(read_image_folder(tmp_path, "train", Counts()))


def test_folders_train_and_val_are_the_splits_and_keys_stay_unique(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    for name in ("train/a.jpg", "train/a.png", "val/a.jpg", "elsewhere.jpg"):
        save_picture(tmp_path / name)
    train = list(read_image_folder(tmp_path, "train", Counts()))
    val = list(read_image_folder(tmp_path, "val", Counts()))
    assert {example.image.name for example in train} == {"a.jpg", "a.png"} and len(val) == 1
    assert len({example.key for example in train + val}) == 3


def test_of_a_training_folder_alone_some_pictures_validate(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    for number in range(20):
        save_picture(tmp_path / "train" / f"cat {number}.jpg", height_px=2, width_px=2)
    train, val = (list(read_image_folder(tmp_path, split, Counts())) for split in SPLITS)
    assert 0 < len(val) < len(train) and len(train) + len(val) == 20
    assert not {example.key for example in train} & {example.key for example in val}


def test_an_empty_or_garbled_caption_file_falls_back(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    save_picture(tmp_path / "a_dog.jpg")
    (tmp_path / "a_dog.txt").write_text(" \n")
    save_picture(tmp_path / "b.jpg")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe caf\xe9")
    first, second = read_image_folder(tmp_path, "val", Counts())
    assert first.captions == ("a dog",) and "caf" in second.captions[0]
