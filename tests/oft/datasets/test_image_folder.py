from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from oft.datasets.decoding import Wanted, iterate_pictures
from oft.datasets.image_folder import read_image_folder
from oft.errors import DataError
from oft.types import SPLITS, Counts


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


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


def test_no_picture_vanishes_uncounted(tmp_path: Path) -> None:
    pictures = {
        "a.jfif": "JPEG",
        "b.jpe": "JPEG",
        "c.avif": "AVIF",
        "d.jp2": "JPEG2000",
        "e.bmp": "BMP",
        "f": "PNG",
    }
    for name, form in pictures.items():
        Image.new("RGB", (8, 8)).save(tmp_path / name, form)
    (tmp_path / "g.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    (tmp_path / "h.raw").write_bytes(b"no picture")
    for name in ("a.txt", "LICENCE", "README.md", "metadata.jsonl", "Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_text("text")
    counts = Counts()
    kept = list(iterate_pictures(read_image_folder(tmp_path, "val", counts), counts, Wanted()))
    assert [decoded.example.image.name for decoded in kept] == list(pictures)
    assert counts.seen == 8 and counts.offenders == {"unsupported": ["g.heic"], "unreadable": ["h.raw"]}


def test_folders_train_and_val_are_the_splits_and_keys_stay_unique(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    for name in ("train/a.jpg", "train/a.png", "val/a.jpg", "elsewhere.jpg"):
        save_picture(tmp_path / name)
    counts = {split: Counts() for split in SPLITS}
    train, val = (list(read_image_folder(tmp_path, split, counts[split])) for split in SPLITS)
    assert {example.image.name for example in train} == {"a.jpg", "a.png"} and len(val) == 1
    assert len({example.key for example in train + val}) == 3
    assert counts["train"].offenders == {"outside_splits": ["elsewhere.jpg"]} and counts["train"].seen == 3
    assert not counts["val"].dropped and counts["val"].seen == 1


@pytest.mark.parametrize("train", ["train", "Train", "training"])
@pytest.mark.parametrize("val", ["val", "VAL", "validation", "Valid", "dev"])
@pytest.mark.parametrize("train_on_unsplit", [False, True])
def test_splits_may_be_spelled_as_usual(tmp_path: Path, train: str, val: str, train_on_unsplit: bool) -> None:
    make(tmp_path, f"{train}/a.jpg", f"{train}/b.jpg", f"{val}/c.jpg")
    found = {
        split: [
            example.image
            for example in read_image_folder(tmp_path, split, Counts(), train_on_unsplit=train_on_unsplit)
        ]
        for split in SPLITS
    }
    assert found == {
        "train": [tmp_path / train / "a.jpg", tmp_path / train / "b.jpg"],
        "val": [tmp_path / val / "c.jpg"],
    }


@pytest.mark.parametrize("beside", ["train/{}.jpg", "{}.jpg", "10_sks dog/{}.jpg"])
def test_pictures_for_testing_are_left_out_and_counted(tmp_path: Path, beside: str) -> None:
    make(tmp_path, "Test/z.jpg", *(beside.format(number) for number in range(4)))
    counts = {split: Counts() for split in SPLITS}
    found = [
        example.image.name
        for split in SPLITS
        for example in read_image_folder(tmp_path, split, counts[split], train_on_unsplit=True)
    ]
    assert sorted(found) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert counts["train"].offenders == {"test_split": ["Test/z.jpg"]}
    assert sum(tally.seen for tally in counts.values()) == 5 and not counts["val"].dropped


@pytest.mark.parametrize("name", ["test", "test shots", "train station", "values"])
def test_a_folder_that_is_called_otherwise_or_stands_alone_is_no_split(tmp_path: Path, name: str) -> None:
    make(tmp_path, f"{name}/a.jpg", f"{name}/b.jpg")
    counts = Counts()
    assert len(list(read_image_folder(tmp_path, "val", counts))) == counts.seen == 2


def test_of_a_training_folder_alone_some_pictures_validate(
    tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    for number in range(20):
        save_picture(tmp_path / "train" / f"cat {number}.jpg", height_px=2, width_px=2)
    train, val = (list(read_image_folder(tmp_path, split, Counts())) for split in SPLITS)
    assert 0 < len(val) < len(train) and len(train) + len(val) == 20
    assert not {example.key for example in train} & {example.key for example in val}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_caption_is_decoded_by_its_byte_order_mark(
    tmp_path: Path, save_picture: Callable[..., Path], encoding: str
) -> None:
    save_picture(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("ein Bär\r\n一棵树 🌳\r\n", encoding=encoding)
    [example] = read_image_folder(tmp_path, "val", Counts())
    assert example.captions == ("ein Bär", "一棵树 🌳")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be"])
def test_a_caption_of_another_encoding_is_named(
    tmp_path: Path, save_picture: Callable[..., Path], encoding: str
) -> None:
    save_picture(tmp_path / "a.jpg")
    (tmp_path / "a.caption").write_text("ein Bär", encoding=encoding)
    with pytest.raises(DataError, match=r"a\.caption is not UTF-8 text .*save it again as UTF-8"):
        list(read_image_folder(tmp_path, "val", Counts()))


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("red_car-by the-sea", ("red car by the sea",)),
        ("7 dwarfs", ("7 dwarfs",)),
        ("une_forêt", ("une forêt",)),
        ("decade", ("decade",)),
        ("1", ()),
        ("0001 (2)", ()),
        ("IMG_1234", ()),
        ("DSC00042", ()),
        ("3f2c1a9e-77aa-4c1d-9e0b-0123456789ab", ()),
    ],
)
def test_a_picture_without_caption_has_its_name_if_that_is_words(
    tmp_path: Path, save_picture: Callable[..., Path], name: str, caption: tuple[str, ...]
) -> None:
    save_picture(tmp_path / f"{name}.jpg")
    save_picture(tmp_path / f"{name} beside.jpg")
    (tmp_path / f"{name} beside.txt").write_text(" \n")  # says nothing
    (tmp_path / f"{name} beside.caption").write_text("a cat")
    found = {e.image.stem: e.captions for e in read_image_folder(tmp_path, "val", Counts())}
    assert found == {name: caption, f"{name} beside": ("a cat",)}


@pytest.mark.parametrize("below", ["", "train"])
def test_kohyas_folders_say_how_often_a_picture_comes_and_what_it_shows(
    tmp_path: Path, save_picture: Callable[..., Path], below: str
) -> None:
    for number in range(3):
        save_picture(tmp_path / below / "10_sks dog" / f"{number}.jpg")
        save_picture(tmp_path / below / "20_zwx_cat" / "deep" / f"{number}.jpg")
    (tmp_path / below / "10_sks dog" / "1.caption").write_text("sks dog asleep")
    counts = {split: Counts() for split in SPLITS}
    train, val = (list(read_image_folder(tmp_path, split, counts[split])) for split in SPLITS)
    assert len({example.image for example in train}) + len(val) == 6 and val
    for example in train:
        times = sum(other.image == example.image for other in train)
        asleep = example.image == tmp_path / below / "10_sks dog" / "1.jpg"
        is_cat = "cat" in str(example.image)
        expected = "zwx cat" if is_cat else "sks dog asleep" if asleep else "sks dog"
        assert (times, example.captions) == (1 + is_cat, (expected,))
    keys = [example.key for example in train]
    assert keys == sorted(set(keys)) and counts["train"].seen == len(train)


def test_kohyas_folders_are_understood_in_each_split(tmp_path: Path) -> None:
    make(tmp_path, "train/10_sks dog/1.jpg", "train/20_cat/2.jpg", "val/3_sks dog/1.jpg", "val/1_cat/2.jpg")
    train, val = (list(read_image_folder(tmp_path, split, Counts())) for split in SPLITS)
    assert [(example.key, example.captions) for example in val] == [
        ("val-1_cat-2", ("cat",)),
        ("val-3_sks_dog-1", ("sks dog",)),
    ]
    assert [example.captions for example in train] == [("sks dog",), ("cat",), ("cat",)]


@pytest.mark.parametrize("suffix", [".TXT", ".Txt", ".CAPTION"])
def test_suffixes_of_captions_are_read_in_any_case(tmp_path: Path, suffix: str) -> None:
    make(tmp_path, "inner/shot.v2.JPG")
    (tmp_path / "inner" / f"shot.v2{suffix}").write_text("a cat")
    (tmp_path / "inner" / f"shot{suffix}").write_text("of another picture")
    [example] = read_image_folder(tmp_path, "val", Counts())
    assert example.captions == ("a cat",)


def test_linked_folders_are_read_and_a_link_that_leads_back_up_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "real/a.jpg", "own/b.jpg")
    (tmp_path / "own" / "linked").symlink_to(tmp_path / "real")
    found = [example.key for example in read_image_folder(tmp_path / "own", "val", Counts())]
    assert found == ["b", "linked-a"]
    (tmp_path / "real" / "back").symlink_to(tmp_path / "own")  # only by way of the other link
    with pytest.raises(DataError, match=r"the link .*own/linked/back leads back up; remove the link"):
        list(read_image_folder(tmp_path / "own", "val", Counts()))


@pytest.mark.parametrize("elsewhere", ["loose.jpg", "others/a.jpg", "2024_trip/a.jpg", "01_trip/a.jpg"])
def test_folders_are_kohyas_only_where_all_pictures_lie_in_them(
    tmp_path: Path, save_picture: Callable[..., Path], elsewhere: str
) -> None:
    save_picture(tmp_path / "10_sks dog" / "a cat.jpg")
    save_picture(tmp_path / elsewhere)
    assert not list(read_image_folder(tmp_path, "train", Counts()))
    assert ("a cat",) in {example.captions for example in read_image_folder(tmp_path, "val", Counts())}
