from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oft.conditions import CONDITIONS
from oft.datasets import READERS, read
from oft.datasets.registry import dataset_title
from oft.errors import DataError
from oft.keys import KEY_PATTERN
from oft.types import SPLITS, ByteSource, Counts
from tests.conftest import ROOT
from tests.layouts import ROOTS


def opens(source: ByteSource) -> bool:
    with source.open("rb") as stream:
        return stream.readable()


def test_every_reader_has_a_small_data_set() -> None:
    assert set(ROOTS.values()) == set(READERS)


@pytest.mark.parametrize(
    ("reader", "source", "title"),
    [
        ("ade20k", "world", "miniature world, in ADE20K's layout"),
        ("dreambooth", "world", "miniature world, in DreamBooth's layout"),
        ("hub", "world-ink", "miniature world"),
        ("ade20k", "download", "ADE20K"),
        ("fill50k", "download", "fill50k"),
        ("ade20k", "/data/ADEChallengeData2016", "own folder “mine”, in ADE20K's layout"),
        ("hub", "s3://bucket/pictures", "own bucket “mine”"),
        ("image_folder", "photos", "photographs of scikit-image and scikit-learn"),
    ],
)
def test_a_data_set_has_a_published_name_only_where_it_was_downloaded(
    reader: str, source: str, title: str
) -> None:
    assert dataset_title("mine", reader, source) == title


@pytest.mark.parametrize("fixture", sorted(ROOTS))
def test_examples_are_sorted_counted_and_repeatable(fixture: str, request: pytest.FixtureRequest) -> None:
    reader, root = ROOTS[fixture], request.getfixturevalue(fixture)
    for split in SPLITS:
        counts, again = Counts(), Counts()
        examples = list(read(reader, root, split, counts))
        keys = [example.key for example in examples]
        assert keys == sorted(set(keys)) and all(KEY_PATTERN.fullmatch(key) for key in keys)
        assert counts.seen == len(examples) + sum(counts.dropped.values())
        assert all(example.split == split and opens(example.image) for example in examples)
        assert list(read(reader, root, split, again)) == examples and again == counts


@pytest.mark.parametrize("fixture", sorted(ROOTS))
def test_no_two_pictures_of_a_data_set_share_a_key(fixture: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(fixture)
    keys = [example.key for split in SPLITS for example in read(ROOTS[fixture], root, split, Counts())]
    assert len(keys) == len(set(keys)) > 1


@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_missing_folder_names_path_layout_and_remedy(reader: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*nowhere.*; expected .*; .*dvc repro acquire"):
        next(read(reader, tmp_path / "nowhere", "train", Counts()))


@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_folder_that_cannot_be_looked_into_is_named(reader: str, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"/x{300}.* cannot be read \(File name too long\); .*correct the path"
    ):
        next(read(reader, tmp_path / ("x" * 300), "train", Counts()))


def test_an_unknown_reader_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"imagenet.*ade20k.*image_folder"):
        read("imagenet", tmp_path, "train", Counts())


@pytest.mark.parametrize("fixture", sorted(ROOTS))
def test_a_file_named_licence_tags_the_pictures(fixture: str, request: pytest.FixtureRequest) -> None:
    reader, root = ROOTS[fixture], request.getfixturevalue(fixture)
    (root / "LICENCE").write_text("Apache-2.0\nrendered\n")
    assert {example.licence for example in read(reader, root, "train", Counts())} == {"Apache-2.0"}


def test_a_file_name_that_is_no_text_is_counted_and_its_name_can_be_written(
    picture_folder: Path, save_picture: Callable[..., Path]
) -> None:
    save_picture(picture_folder / "train" / "b\udcff.png")
    counts = Counts()
    assert all(example.key != "train-b_" for example in read("image_folder", picture_folder, "train", counts))
    assert counts.offenders["name_not_text"] == ["b\\udcff.png"]


@pytest.mark.parametrize("fixture", sorted(ROOTS))
def test_examples_cross_processes(fixture: str, request: pytest.FixtureRequest) -> None:
    examples = list(read(ROOTS[fixture], request.getfixturevalue(fixture), "train", Counts()))
    assert pickle.loads(pickle.dumps(examples)) == examples


@pytest.mark.parametrize("name", sorted(READERS))
def test_the_page_has_every_reader_and_the_conditions_made_from_what_it_brings(name: str) -> None:
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if line.startswith(f"| [`{name}`]")]
    made = {made.name for made in CONDITIONS.values() if READERS[name].gives(made.annotation)}
    assert set(re.findall(r"(?<!\[)`(\w+)`", row)) <= made and (not made or re.search(r"(?<!\[)`", row))


def test_settings_readers_and_conditions_are_imported_without_heavy_libraries() -> None:
    code = (
        "import sys, oft.params, oft.acquire.folder, oft.captions.store\n"
        "import oft.prepare.extraction, oft.prepare.prepared\n"
        "heavy = {'torch', 'transformers', 'diffusers', 'webdataset', 'cv2', 'scipy', 'pyarrow'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
