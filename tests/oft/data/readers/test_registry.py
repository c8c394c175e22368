from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from oft.data.keys import KEY_PATTERN
from oft.data.readers import READERS, read
from oft.errors import DataError
from oft.types import SPLITS, Counts, Split

ROOTS = {
    "ade20k": "ade20k_root",
    "coco": "coco_root",
    "deepfashion": "deepfashion_root",
    "dreambooth": "dreambooth_root",
}


@pytest.mark.parametrize("reader", sorted(ROOTS))
def test_examples_are_sorted_counted_and_repeatable(reader: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(ROOTS[reader])
    for split in SPLITS:
        if (reader, split) == ("coco", "train"):
            continue
        counts, again = Counts(), Counts()
        examples = list(read(reader, root, split, counts))
        keys = [example.key for example in examples]
        assert keys == sorted(set(keys)) and all(KEY_PATTERN.fullmatch(key) for key in keys)
        assert counts.seen == len(examples) + sum(counts.dropped.values())
        assert all(example.split == split and example.image.is_file() for example in examples)
        assert list(read(reader, root, split, again)) == examples and again == counts


@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_missing_folder_names_path_layout_and_remedy(reader: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*nowhere.*; expected .*; .*dvc repro acquire"):
        next(read(reader, tmp_path / "nowhere", "train", Counts()))


def test_an_unknown_reader_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"imagenet.*ade20k.*image_folder"):
        read("imagenet", tmp_path, "train", Counts())


@pytest.mark.parametrize("reader", sorted(ROOTS))
def test_a_file_named_licence_tags_the_pictures(reader: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(ROOTS[reader])
    (root / "LICENCE").write_text("Apache-2.0\nrendered\n")
    split: Split = "val" if reader == "coco" else "train"
    assert "Apache-2.0" in {example.licence for example in read(reader, root, split, Counts())}


def test_a_reader_is_imported_when_it_is_used() -> None:
    code = (
        "import sys, oft.data.acquire, oft.data.captions, oft.data.conditions\n"
        "import oft.data.extraction, oft.data.prepared\n"
        "heavy = {'torch', 'transformers', 'webdataset', 'cv2', 'scipy', 'oft.data.readers.coco'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
