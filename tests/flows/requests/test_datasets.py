"""What a request brings becomes data sets that the pipeline reads, named by all that they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.requests.captioned import Captioned
from flows.requests.datasets import write_captioned, write_pictures, write_subject
from flows.requests.prompts import subject_file
from oft.acquire.folder import count_layout
from oft.datasets import read
from oft.prepare.subjects import pack_class_pictures, subject_class, subject_prompts
from oft.settings.data import Dataset
from oft.types import SPLITS, Counts

from .conftest import picture


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Three pictures."""
    for number in range(3):
        (tmp_path / f"{number}.PNG").write_bytes(picture(number))
    return [tmp_path / f"{number}.PNG" for number in range(3)]


def test_class_pictures_are_named_by_what_they_are_and_read_by_the_pipeline(
    paths: list[Path], tmp_path: Path
) -> None:
    folder = write_pictures(paths, tmp_path / "a")
    assert write_pictures(paths, tmp_path / "b") == folder != write_pictures(paths[1:], tmp_path / "b")
    # As the stage `prior` reads them.
    counts = Counts()
    dataset = Dataset.model_validate(
        {
            "reader": "dreambooth",
            "num_train_images": 0,
            "num_val_images": 0,
            "acquire": {"source": "x", "mirror": None, "accept_licence": False},
            "prepare": {"fit": "crop", "flip": False},
            "captions": {"source": "own", "rule": "all", "template": "{caption}"},
        }
    )
    packed = list(pack_class_pictures(tmp_path / "a" / folder, dataset, "a dog", 64, 95, counts))
    assert (len(packed), counts.kept, sum(counts.dropped.values())) == (3, 3, 0)


def test_a_subject_is_named_by_what_it_holds_and_read_by_the_pipeline(
    paths: list[Path], tmp_path: Path
) -> None:
    prompts_file = subject_file("instance", "dog", ["a photo of sks dog", "a sks dog on a table"])
    folder = write_subject("instance", prompts_file, paths, tmp_path / "a")
    root = tmp_path / "a" / folder
    assert count_layout("dreambooth", root)["train"]["kept"] == 3
    assert subject_class(root, "instance") == "dog"
    prompts = subject_prompts(root, "instance", "sks")
    assert prompts == {"p00": "a photo of sks dog", "p01": "a sks dog on a table"}
    assert write_subject("instance", prompts_file, paths, tmp_path / "b") == folder
    other_file = subject_file("instance", "dog", ["a sks dog"])
    assert write_subject("instance", other_file, paths, tmp_path / "b") != folder
    assert write_subject("instance", prompts_file, [*paths[1:], paths[1]], tmp_path / "b") != folder


def test_captioned_pictures_are_read_as_they_were_collected(paths: list[Path], tmp_path: Path) -> None:
    captions = ('a "cat" {caption}', "घर\u2028and ${seed}")
    pictures = [
        Captioned(paths[0], captions, paths[2], "train"),
        Captioned(paths[1], (), paths[2], "val"),
        Captioned(paths[1], ("again",), paths[0], "train"),
    ]
    folder = write_captioned(pictures, tmp_path / "a")
    root, counts = tmp_path / "a" / folder, Counts()
    found = [one for split in SPLITS for one in read("hub", root, split, counts)]
    assert not counts.dropped
    for expected, example in zip([pictures[0], pictures[2], pictures[1]], found, strict=True):
        assert isinstance(example.image, Path) and isinstance(example.annotation, Path)
        assert (example.captions, example.split) == (
            tuple(" ".join(caption.split()) for caption in expected.captions),
            expected.split,
        )
        assert example.image.read_bytes() == expected.image.read_bytes()
        assert expected.condition is not None
        assert example.annotation.read_bytes() == expected.condition.read_bytes()
    assert write_captioned(pictures, tmp_path / "b") == folder
    for change in (
        {"captions": ("another",)},
        {"split": "val"},
        {"condition": paths[1]},
        {"condition": None},
        {"image": paths[2]},
    ):
        assert write_captioned([pictures[0]._replace(**change), *pictures[1:]], tmp_path / "b") != folder
