"""Class pictures of the user's own are packed as they are: no base is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oft.errors import DataError
from oft.sampling import task_prompts
from oft.shards.shards import read_shards
from oft.storage import dump_yaml, write_json
from oft.types import SPLITS, Counts
from stages import prior, shard_subject
from stages.launch import paths
from tests.layouts import save_picture

TASK = "subject_cup"


@pytest.fixture(autouse=True)
def _subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    """A subject that is a folder of two pictures, and a folder for those of its class."""
    monkeypatch.chdir(tmp_path)
    values["subjects"][TASK] = {"dataset": "photos", "class": "cup", "class_pictures": "cups"}
    Path("params.yaml").write_text(dump_yaml(values))
    for number in range(2):
        save_picture(paths.raw("photos") / f"{number}.jpg", number, height_px=64, width_px=80)
    write_json(paths.counts(paths.raw("photos")), {split: Counts().to_json() for split in SPLITS})
    Path("cups").mkdir()


def test_a_bare_folder_becomes_a_subject_with_class_pictures() -> None:
    save_picture(Path("cups") / "b.jpg", 3, height_px=90, width_px=64)
    shard_subject.main(["--task", TASK])
    own = list(read_shards(paths.shards(TASK), "train"))
    assert [sample.meta["captions"] for sample in own] == [["a sks cup"]] * 2
    assert task_prompts(paths.shards(TASK))["p00"] == "a sks cup"
    prior.main(["--task", TASK])
    (sample,) = read_shards(paths.prior(TASK), "train")
    assert sample.meta["captions"] == ["a cup"]


def test_a_folder_without_a_usable_picture_is_refused() -> None:
    (Path("cups") / "broken.jpg").write_bytes(b"no picture")
    shard_subject.main(["--task", TASK])
    with pytest.raises(DataError, match=r"(?s)class_pictures of subject_cup: .*unreadable"):
        prior.main(["--task", TASK])
    assert not paths.prior(TASK).exists()
