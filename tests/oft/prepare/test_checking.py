from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from oft.acquire.folder import count_layout, place_folder
from oft.cli import app, main
from oft.conditions import CONDITIONS
from oft.datasets import READERS
from oft.errors import DataError
from oft.parallel import CHUNK_ITEMS, WORKERS
from oft.prepare.checking import check_dataset
from oft.prepare.drops import describe_drops
from oft.storage import dump_yaml
from tests.layouts import ROOTS, save_labels, save_picture

# What each small data set holds for its reader, by its own description.
KEPT = {
    "ade20k_root": 2,
    "celeba_hq_root": 4,
    "coco_root": 3,
    "deepfashion_root": 2,
    "dreambooth_root": 4,
    "fill50k_root": 4,
    "hub_root": 5,
    "depth_root": 5,
    "parquet_root": 10,
    "picture_folder": 4,
    "reference_root": 4,
    "unsplit_folder": 3,
}


@pytest.mark.parametrize("fixture", sorted(ROOTS))
def test_every_layout_is_decoded_and_counted(fixture: str, request: pytest.FixtureRequest) -> None:
    reader = READERS[ROOTS[fixture]]
    made = next((made.name for made in CONDITIONS.values() if made.annotation in reader.brings), None)
    counts = check_dataset(reader.name, request.getfixturevalue(fixture), "blip", condition=made)
    assert sum(tally.kept for tally in counts.values()) == KEPT[fixture]
    assert all(tally.seen == tally.kept + tally.dropped.total() for tally in counts.values())


def test_the_command_prints_one_line_of_json_and_the_offenders_with_a_remedy(ade20k_root: Path) -> None:
    arguments = ["data", "check", "--dataset", "ade20k", "--root", str(ade20k_root), "--captions", "blip"]
    arguments += ["--resolution-px", "16", "--condition", "segmentation"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and result.stdout.count("\n") == 1
    dropped = {"annotation_missing": 1, "size_mismatch": 1, "truncated": 1, "unreadable": 1}
    assert json.loads(result.stdout) == {
        "captions": "blip",
        "condition": "segmentation",
        "resolution_px": 16,
        "reader": "ade20k",
        "root": str(ade20k_root),
        "seen": 6,
        "kept": 2,
        "dropped": dropped,
        "splits": {
            "train": {"seen": 5, "kept": 1, "dropped": dropped},
            "val": {"seen": 1, "kept": 1, "dropped": {}},
        },
        "unfit": {},
    }
    assert "train: 1 truncated (the picture's data end early; copy or download" in result.stderr
    assert "ADE_train_00000002.jpg" in result.stderr
    assert "train: 1 annotation_missing (of its annotation: there is no such file" in result.stderr


def test_more_offenders_than_are_named_are_hinted_at(picture_folder: Path) -> None:
    for number in range(9):
        (picture_folder / "train" / f"z{number}.png").write_text("")
    [line] = describe_drops(check_dataset("image_folder", picture_folder)["train"])
    assert line.startswith("10 unreadable (") and line.endswith(", z3.png, ...")


@pytest.mark.parametrize("reader", sorted(READERS))
def test_another_layout_ends_with_status_1_and_a_message_alone(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["oft", "data", "check", "--dataset", reader, "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == 1 and not printed.out
    assert str(tmp_path) in printed.err and "Traceback" not in printed.err


def test_a_folder_without_pictures_is_no_data_set(picture_folder: Path) -> None:
    with pytest.raises(DataError, match=r"has no picture for reader 'image_folder'.*docs/datasets\.md"):
        check_dataset("image_folder", picture_folder / "val")


def test_what_a_subject_needs_beside_its_pictures_is_checked(dreambooth_root: Path) -> None:
    listing = dreambooth_root / "dataset" / "prompts_and_classes.txt"
    listing.write_text(listing.read_text().replace("'a wet {0} {1}'", "'a wet {0} {1}"))
    with pytest.raises(DataError, match=r"prompts_and_classes\.txt: .*a wet .* is no prompt"):
        check_dataset("dreambooth", dreambooth_root)


def check(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["data", "check", *arguments])


@pytest.mark.parametrize("text", ['"description": "a tree"', '"text": null', '"text": " "', '"text": []'])
def test_pictures_without_a_caption_that_a_run_finds_are_not_kept(tmp_path: Path, text: str) -> None:
    for number in range(4):
        save_picture(tmp_path / f"{number}.png", number)
    lines = [f'{{"file_name": "{number}.png", {text}}}' for number in range(4)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    arguments = ("--dataset", "hub", "--root", str(tmp_path), "--resolution-px", "16")
    own = check(*arguments)
    summary = json.loads(own.stdout)
    assert own.exit_code == 1 and summary["kept"] == 0 and summary["dropped"] == {"caption_missing": 4}
    assert "captions.source" in own.stderr and "so nothing can be sampled" in str(own.exception)
    described = check(*arguments, "--captions", "blip")
    assert described.exit_code == 0 and json.loads(described.stdout)["kept"] == 4


def test_a_prompt_file_says_which_pictures_have_captions(picture_folder: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text('[{"image": "a-dog.png", "prompt": "a dog"}, {"image": "a-cat.png", "prompt": ""}]')
    counts = check_dataset("image_folder", picture_folder, str(prompts))["train"]
    assert counts.kept == 1 and counts.dropped == {"unreadable": 1, "caption_missing": 3}
    with pytest.raises(DataError, match=r"no prompt file .*nowhere\.json"):
        check_dataset("image_folder", picture_folder, str(tmp_path / "nowhere.json"))


def test_pictures_of_one_name_in_a_prompt_file_are_refused_as_a_run_refuses_them(tmp_path: Path) -> None:
    for name in ("train/a.png", "val/b.png"):
        save_picture(tmp_path / "own" / name)
    prompts = tmp_path / "prompts.json"
    prompts.write_text('[{"image": "a.png", "prompt": "a lake"}, {"image": "b.png", "prompt": "a hill"}]')
    counts = check_dataset("image_folder", tmp_path / "own", str(prompts))
    assert [tally.kept for tally in counts.values()] == [1, 1]
    save_picture(tmp_path / "own" / "val" / "a.png")
    with pytest.raises(DataError, match="train-a and val-a are both 'a'; rename one"):
        check_dataset("image_folder", tmp_path / "own", str(prompts))


def test_pictures_that_come_repeatedly_are_one_in_a_prompt_file(tmp_path: Path) -> None:
    for name in ("1_sks dog/a.png", "3_cat/b.png"):
        save_picture(tmp_path / "own" / "train" / name)
    (tmp_path / "own" / "val").mkdir()
    prompts = tmp_path / "prompts.json"
    prompts.write_text('[{"image": "a.png", "prompt": "a lake"}, {"image": "b.png", "prompt": "a hill"}]')
    assert check_dataset("image_folder", tmp_path / "own", str(prompts))["train"].kept == 4


def spoil_conditions(hub_root: Path) -> None:
    """Leave one training picture without a conditioning picture, and give another one of another size."""
    listing = hub_root / "train" / "metadata.jsonl"
    lines = [json.loads(line) for line in listing.read_text().splitlines()]
    del lines[0]["conditioning_image"]
    listing.write_text("\n".join(map(json.dumps, lines)))
    save_picture(hub_root / "train" / "edges" / "2.png", height_px=32, width_px=24)


def test_faulty_annotations_are_told_and_count_where_the_condition_is_made_of_them(hub_root: Path) -> None:
    spoil_conditions(hub_root)
    arguments = ("--dataset", "hub", "--root", str(hub_root), "--resolution-px", "16")
    faults = {"annotation_missing": 1, "size_mismatch": 1}
    for more, kept, dropped, unfit in (
        ((), 5, {}, faults),
        (("--condition", "canny"), 5, {}, {}),
        (("--condition", "given"), 3, faults, {}),
    ):
        result = check(*arguments, *more)
        summary = json.loads(result.stdout)
        assert result.exit_code == 0
        assert (summary["kept"], summary["dropped"], summary["unfit"]) == (kept, dropped, unfit), more
        assert ("kept, as no --condition is given" in result.stderr) == bool(unfit)
        assert ("annotation: 1 size_mismatch (" in result.stderr) == bool(unfit)


def test_a_condition_that_the_set_cannot_give_is_refused(hub_root: Path) -> None:
    with pytest.raises(DataError, match=r"'circles' is made from .* reader 'hub' does not give; .*fill50k"):
        check_dataset("hub", hub_root, condition="circles")
    with pytest.raises(DataError, match=r"there is no condition 'edges'; choose one of .*canny"):
        check_dataset("hub", hub_root, condition="edges")


def test_links_are_followed_and_loops_refused_anywhere_as_a_run_does(tmp_path: Path) -> None:
    for root, number in (("real", 4), ("own", 2)):
        for place in range(number):
            save_picture(tmp_path / root / f"{place}.png", place)
    (tmp_path / "own" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "own" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "own" / "pipe.png")
    found = check_dataset("train_folder", tmp_path / "own", "blip")
    assert sum((tally.dropped for tally in found.values()), Counter()) == {"missing": 2}
    place_folder(tmp_path / "own", tmp_path / "copy")
    counted = count_layout("train_folder", tmp_path / "copy")
    assert {split: tally.kept for split, tally in found.items()} == {"train": 5, "val": 1}
    assert {split: tally["kept"] for split, tally in counted.items()} == {"train": 5, "val": 1}
    (tmp_path / "own" / ".hidden").mkdir()
    (tmp_path / "own" / ".hidden" / "up").symlink_to(tmp_path / "own")
    for refuse in (
        lambda: check_dataset("image_folder", tmp_path / "own", "blip"),
        lambda: place_folder(tmp_path / "own", tmp_path / "copy"),
    ):
        with pytest.raises(DataError, match=r"the link .*\.hidden/up leads back up; remove the link"):
            refuse()


@pytest.mark.parametrize("value", ["0", "-8", "7"])
def test_a_size_below_the_smallest_is_refused(picture_folder: Path, value: str) -> None:
    result = check("--dataset", "image_folder", "--root", str(picture_folder), "--resolution-px", value)
    assert result.exit_code == 2 and "Invalid value for '--resolution-px'" in result.output


def test_pictures_that_a_run_finds_too_small_are_not_kept(picture_folder: Path) -> None:
    for resolution_px, kept in ((48, 4), (50, 0)):  # they are 24 px high
        assert check_dataset("image_folder", picture_folder, "own", resolution_px)["train"].kept == kept


def test_the_size_is_that_of_params_yaml(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, values: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(dump_yaml(values))
    summary = json.loads(check("--dataset", "image_folder", "--root", str(picture_folder)).stdout)
    assert summary["resolution_px"] == 64 and summary["dropped"]["too_small"] == 4


def test_a_set_without_validation_pictures_ends_with_status_1(picture_folder: Path) -> None:
    arguments = ("--dataset", "image_folder", "--root", str(picture_folder), "--resolution-px", "16")
    result = check(*arguments)
    assert result.exit_code == 1 and json.loads(result.stdout)["splits"]["train"]["kept"] == 4
    assert "keeps no picture of val" in str(result.exception)
    save_picture(picture_folder / "val" / "a-lake.png")
    assert check(*arguments).exit_code == 0


def test_subjects_need_no_validation_pictures(dreambooth_root: Path) -> None:
    assert (
        check("--dataset", "dreambooth", "--root", str(dreambooth_root), "--resolution-px", "16").exit_code
        == 0
    )


def test_the_help_names_every_reader() -> None:
    shown = CliRunner().invoke(app, ["data", "check", "--help"], env={"COLUMNS": "300"}).stdout
    assert all(reader in shown for reader in READERS)


def test_an_unknown_reader_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the readers are ade20k, .*reference"):
        check_dataset("imagenet", tmp_path)


def test_pictures_of_one_name_in_both_splits_are_refused(ade20k_root: Path) -> None:
    top = ade20k_root / "ADEChallengeData2016"
    for folder, suffix in (("images", "jpg"), ("annotations", "png")):
        source = top / folder / "validation" / f"ADE_val_00000001.{suffix}"
        source.rename(source.with_name(f"ADE_train_00000001.{suffix}"))
    for count in (check_dataset, count_layout):
        with pytest.raises(DataError, match=r"ADE_train_00000001.jpg of val has the key .* rename one"):
            count("ade20k", ade20k_root)


def test_all_cores_find_what_one_finds(ade20k_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = ade20k_root / "ADEChallengeData2016" / "images" / "training"
    for number in range(10, 40):
        save_picture(images / f"{number}.jpg", number)
        save_labels(images.parents[1] / "annotations" / "training" / f"{number}.png", 160 - number % 20)
    alone = check_dataset("ade20k", ade20k_root, "blip", condition="segmentation")
    assert alone["train"].dropped["label_out_of_range"] > CHUNK_ITEMS
    monkeypatch.setenv(WORKERS, "2")
    assert check_dataset("ade20k", ade20k_root, "blip", condition="segmentation") == alone
