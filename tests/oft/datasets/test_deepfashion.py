from __future__ import annotations

import json
from pathlib import Path

import pytest

from oft.datasets.deepfashion import VAL_PERCENT, _validation, read_deepfashion
from oft.errors import DataError
from oft.types import Counts

VAL_AMONG_THE_FIRST_100 = [26, 77, 84, 88]


def test_pictures_are_paired_with_part_maps_and_descriptions(deepfashion_root: Path) -> None:
    counts = Counts()
    examples = list(read_deepfashion(deepfashion_root, "train", counts))
    assert [example.captions for example in examples] == [("a person in dress 0",), ("a person in dress 1",)]
    assert all(e.annotation and e.annotation.name == f"{e.image.stem}_densepose.png" for e in examples)
    assert counts.seen == 3 and counts.dropped == {"annotation_missing": 1}


def test_lists_decide_the_split_and_one_list_leaves_the_rest_to_the_other(deepfashion_root: Path) -> None:
    names = sorted(path.name for path in (deepfashion_root / "images").iterdir())
    (deepfashion_root / "train.txt").write_text(f"{names[0]}\nimages/gone.jpg\n")
    counts = Counts()
    train = [example.image.name for example in read_deepfashion(deepfashion_root, "train", counts)]
    assert train == names[:1] and counts.offenders == {"missing": ["gone.jpg"]}
    assert [example.image.name for example in read_deepfashion(deepfashion_root, "val", Counts())] == names[
        1:2
    ]
    (deepfashion_root / "val.txt").write_text(f"{Path(names[0]).stem}\n")
    assert [example.image.name for example in read_deepfashion(deepfashion_root, "val", Counts())] == names[
        :1
    ]


def test_without_lists_every_picture_falls_on_one_side(deepfashion_root: Path) -> None:
    (deepfashion_root / "train.txt").unlink()
    counts = {split: Counts() for split in ("train", "val")}
    for split, tally in counts.items():
        list(read_deepfashion(deepfashion_root, split, tally))  # type: ignore[arg-type]
    assert sum(tally.seen for tally in counts.values()) == 3


def test_the_hashed_split_is_stable_keeps_a_garment_together_and_has_the_right_share() -> None:
    names = [f"MEN-Denim-id_{number:08d}-01_1_front.jpg" for number in range(4000)]
    val = _validation(names)
    assert len(val) / len(names) == pytest.approx(VAL_PERCENT / 100, abs=0.015)
    assert [number for number in range(100) if names[number] in val] == VAL_AMONG_THE_FIRST_100
    views = [f"MEN-Denim-id_00000080-0{view}_7_additional.jpg" for view in range(9)]
    assert len(_validation([*names, *views]) & set(views)) in (0, len(views))


def test_of_one_garment_some_views_train_and_some_validate() -> None:
    views = [f"MEN-Denim-id_00000080-0{view}_7_additional.jpg" for view in range(2)]
    assert len(_validation(views)) == 1


def test_captions_are_required_and_may_come_from_a_prompt_file(deepfashion_root: Path) -> None:
    (deepfashion_root / "captions.json").unlink()
    with pytest.raises(DataError, match=r"captions.json.*by hand"):
        next(read_deepfashion(deepfashion_root, "train", Counts()))
    stem = sorted((deepfashion_root / "images").iterdir())[0].stem
    entry = {"source": f"source/{stem}.png", "target": f"target/{stem}.png", "prompt": "a dress"}
    (deepfashion_root / "prompt_train_blip.json").write_text(json.dumps(entry))
    assert next(read_deepfashion(deepfashion_root, "train", Counts())).captions == ("a dress",)


def test_captions_of_another_form_are_refused(deepfashion_root: Path) -> None:
    (deepfashion_root / "captions.json").write_text("[]")
    with pytest.raises(DataError, match="must map file names to texts"):
        next(read_deepfashion(deepfashion_root, "train", Counts()))
