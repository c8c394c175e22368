from __future__ import annotations

from pathlib import Path

import pytest

from oft.errors import DataError
from oft.prepare.subjects import fill_prompt, pack_subject, subject_class, subject_prompts
from oft.shards.shards import decode_image, picture_size
from oft.types import Counts
from tests.conftest import dataset


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
