from __future__ import annotations

from pathlib import Path

import pytest

from oft.errors import DataError
from oft.prepare.subjects import (
    PLACES,
    evaluation_prompts,
    fill_prompt,
    pack_class_pictures,
    pack_subject,
    subject_class,
    subject_prompts,
)
from oft.settings.data import Subject
from oft.shards.shards import decode_image, picture_size
from oft.types import Counts
from tests.conftest import dataset
from tests.layouts import save_picture


def test_a_subject_is_its_own_pictures_under_the_instance_prompt(dreambooth_root: Path) -> None:
    counts = Counts()
    settings = dataset("dreambooth")
    samples = list(pack_subject("db", settings, dreambooth_root, "dog", "a sks dog", 16, 95, counts))
    assert [sample.key for sample in samples] == ["dog-00", "dog-03"]
    assert all(sample.meta["captions"] == ["a sks dog"] for sample in samples)
    assert all(decode_image(sample).shape == (16, 16, 3) for sample in samples)
    assert (counts.seen, counts.kept) == (2, 2)
    small = Counts()
    assert not list(pack_subject("db", settings, dreambooth_root, "dog", "a sks dog", 50, 95, small))
    assert small.dropped == {"too_small": 2}


def test_prompts_are_those_of_the_subject_s_class_in_order(dreambooth_root: Path) -> None:
    assert subject_prompts(dreambooth_root, "rc_car", "sks") == {
        "p00": "a sks toy in the jungle",
        "p01": "a red sks toy",
    }
    live = subject_prompts(dreambooth_root, "dog2", "sks")
    assert sorted(live) == list(live) == ["p00", "p01", "p02"] and live["p02"] == "a wet sks dog"


def test_a_subject_that_is_not_listed_is_refused_with_those_that_are(dreambooth_root: Path) -> None:
    assert subject_class(dreambooth_root, "rc_car") == "toy"
    with pytest.raises(DataError, match=r"'cow' is not listed; its subjects: dog, dog2, rc_car"):
        subject_class(dreambooth_root, "cow")


def test_a_subject_s_pictures_come_bucket_by_bucket_with_their_mirror_images(dreambooth_root: Path) -> None:
    settings = dataset("dreambooth", fit="buckets", flip=True)
    samples = list(pack_subject("db", settings, dreambooth_root, "dog", "a sks dog", 48, 95, Counts()))
    assert [sample.key for sample in samples] == ["dog-00", "dog-00-flipped", "dog-03", "dog-03-flipped"]
    assert {picture_size(sample) for sample in samples} == {(56, 40)}


def test_a_prompt_template_is_filled_with_token_and_class() -> None:
    assert fill_prompt("a photo of {identifier} {class}", "sks", "toy car") == "a photo of sks toy car"
    assert fill_prompt("a {class}", "sks", "dog") == "a dog"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bare folder of three pictures, one of them in a folder ``train``."""
    for number, name in enumerate(("1.jpg", "2.jpg", "side/3.jpg")):
        save_picture(tmp_path / "cup" / name, number, height_px=40, width_px=48)
    return tmp_path / "cup"


def test_all_pictures_of_a_folder_are_the_subject_s(folder: Path) -> None:
    counts, settings = Counts(), dataset("image_folder")
    samples = list(pack_subject("mine", settings, folder, None, "a sks cup", 32, 95, counts))
    assert [sample.key for sample in samples] == ["1", "2", "side-3"]
    assert all(sample.meta["captions"] == ["a sks cup"] for sample in samples)
    assert (counts.seen, counts.kept) == (3, 3)


def test_own_class_pictures_have_the_class_prompt(folder: Path) -> None:
    counts = Counts()
    (folder / "broken.jpg").write_bytes(b"no picture")
    samples = list(pack_class_pictures(folder, dataset("image_folder"), "a cup", 32, 95, counts))
    assert {tuple(sample.meta["captions"]) for sample in samples} == {("a cup",)}
    assert (counts.seen, counts.kept, sum(counts.dropped.values())) == (4, 3, 1)
    with pytest.raises(DataError, match="nowhere"):
        list(pack_class_pictures(folder / "nowhere", dataset("image_folder"), "a cup", 32, 95, Counts()))


def test_prompts_are_the_user_s_or_the_data_set_s_or_a_few_places(
    dreambooth_root: Path, tmp_path: Path
) -> None:
    def prompts(root: Path, class_name: str, **settings: str) -> dict[str, str]:
        subject = Subject.model_validate({"dataset": "mine", **settings})
        return evaluation_prompts(root, subject, f"a sks {class_name}", class_name, "sks")

    own = tmp_path / "prompts.txt"
    own.write_text("a {} in the jungle\n\na {class}, this {identifier}\n", encoding="utf-8")
    expected = {"p00": "a sks cup in the jungle", "p01": "a cup, this sks"}
    assert prompts(tmp_path, "cup", **{"class": "cup", "prompts": str(own)}) == expected
    listed = subject_prompts(dreambooth_root, "rc_car", "sks")
    assert prompts(dreambooth_root, "toy", subject="rc_car") == listed
    few = prompts(tmp_path, "cup", **{"class": "cup"})
    assert list(few.values())[:2] == ["a sks cup", "a sks cup in the snow"] and len(few) == 1 + len(PLACES)
