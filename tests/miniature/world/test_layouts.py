"""The official layouts, read back with json and PIL alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miniature.world.layouts import write_ade20k, write_coco, write_deepfashion, write_dreambooth
from miniature.world.toys import SUBJECTS
from miniature.world.vocabulary import words_of, world_words

Writer = Callable[..., None]
SPLIT_WRITERS: dict[str, Writer] = {
    "ade20k": write_ade20k,
    "coco": write_coco,
    "deepfashion": write_deepfashion,
}


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


def _write(writer: Writer, root: Path, train: int = 4, seed: int = 7) -> dict[str, bytes]:
    writer(root, seed=seed, num_train_images=train, num_val_images=2, size_px=64)
    return _files(root)


@pytest.mark.parametrize("writer", SPLIT_WRITERS.values(), ids=SPLIT_WRITERS)
def test_same_arguments_give_the_same_bytes(writer: Writer, tmp_path: Path) -> None:
    assert _write(writer, tmp_path / "a") == _write(writer, tmp_path / "b")


@pytest.mark.parametrize("writer", SPLIT_WRITERS.values(), ids=SPLIT_WRITERS)
def test_more_pictures_leave_earlier_ones_alone(writer: Writer, tmp_path: Path) -> None:
    few, more = _write(writer, tmp_path / "few"), _write(writer, tmp_path / "more", train=6)
    pictures = {name: content for name, content in few.items() if name.endswith((".jpg", ".png"))}
    assert pictures and all(more[name] == content for name, content in pictures.items())
    assert len([name for name in more if name.endswith(".jpg")]) == 8


@pytest.mark.parametrize("writer", SPLIT_WRITERS.values(), ids=SPLIT_WRITERS)
def test_no_two_pictures_are_alike(writer: Writer, tmp_path: Path) -> None:
    pictures = [content for name, content in _write(writer, tmp_path).items() if name.endswith(".jpg")]
    assert len(set(pictures)) == len(pictures) == 6
    assert len({*pictures, *_write(writer, tmp_path / "other", seed=8).values()} & set(pictures)) == 6


def test_ade20k_layout(tmp_path: Path) -> None:
    _write(write_ade20k, tmp_path)
    base = tmp_path / "ADEChallengeData2016"
    for split, folder, count in (("train", "training", 4), ("val", "validation", 2)):
        stems = [f"ADE_{split}_{number:08d}" for number in range(1, count + 1)]
        assert [path.stem for path in sorted((base / "images" / folder).iterdir())] == stems
        lines = (tmp_path / f"prompt_{split}_blip.json").read_text().splitlines()
        for stem, line in zip(stems, lines, strict=True):
            with Image.open(base / "annotations" / folder / f"{stem}.png") as labels:
                assert labels.mode == "L" and labels.size == (64, 64)
                assert np.asarray(labels).min() >= 1 and np.asarray(labels).max() <= 150
            prompt = json.loads(line)
            assert prompt["source"] == f"segm/{folder}/{stem}.png"
            assert prompt["target"] == f"color/{folder}/{stem}.jpg"
            assert set(words_of(prompt["prompt"])) <= set(world_words())
    rows = [line.split("\t") for line in (base / "objectInfo150.txt").read_text().splitlines()]
    assert [cell.strip() for cell in rows[0]] == ["Idx", "Ratio", "Train", "Val", "Name"]
    assert [int(row[0]) for row in rows[1:]] == list(range(1, 151))
    assert sum(float(row[1]) for row in rows[1:]) == pytest.approx(1, abs=0.01)
    assert len((base / "sceneCategories.txt").read_text().splitlines()) == 6


def test_coco_layout(tmp_path: Path) -> None:
    _write(write_coco, tmp_path)
    seen: set[int] = set()
    for split, count in (("train", 4), ("val", 2)):
        content = json.loads((tmp_path / "annotations" / f"captions_{split}2017.json").read_text())
        assert set(content) == {"info", "licenses", "images", "annotations"}
        ids = {image["id"] for image in content["images"]}
        assert len(ids) == count and not ids & seen
        seen |= ids
        for image in content["images"]:
            assert image["file_name"] == f"{image['id']:012d}.jpg"
            with Image.open(tmp_path / f"{split}2017" / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"]) == (64, 64)
            captions = [note["caption"] for note in content["annotations"] if note["image_id"] == image["id"]]
            assert len(captions) == 5
        assert len({note["id"] for note in content["annotations"]}) == 5 * count


def test_deepfashion_layout(tmp_path: Path) -> None:
    _write(write_deepfashion, tmp_path)
    captions = json.loads((tmp_path / "captions.json").read_text())
    names = [(tmp_path / f"{split}.txt").read_text().split() for split in ("train", "val")]
    assert [len(part) for part in names] == [4, 2]
    assert (
        sorted(captions)
        == sorted(names[0] + names[1])
        == sorted(p.name for p in (tmp_path / "images").iterdir())
    )
    for name in captions:
        assert name.startswith(("WOMEN-", "MEN-")) and "-id_" in name
        with Image.open(tmp_path / "images" / name) as picture:
            assert picture.size == (64, 94)
        with Image.open(tmp_path / "densepose" / f"{name.removesuffix('.jpg')}_densepose.png") as densepose:
            assert densepose.mode == "RGB" and densepose.size == (64, 94)
            parts = np.asarray(densepose)[..., 2]
        assert parts.max() == 24 and parts.min() == 0


def test_dreambooth_layout(tmp_path: Path) -> None:
    write_dreambooth(tmp_path, seed=7, size_px=64)
    write_dreambooth(tmp_path / "again", seed=7, size_px=64)
    for name in SUBJECTS:
        paths = sorted((tmp_path / "dataset" / name).iterdir())
        assert [path.name for path in paths] == ["00.jpg", "01.jpg", "03.jpg", "04.jpg", "05.jpg"]
        assert len({path.read_bytes() for path in paths}) == 5
        again = tmp_path / "again" / "dataset" / name
        assert [path.read_bytes() for path in paths] == [
            path.read_bytes() for path in sorted(again.iterdir())
        ]
    text = (tmp_path / "dataset" / "prompts_and_classes.txt").read_text()
    for name, toy in SUBJECTS.items():
        assert f"\n{name},{toy.kind}\n" in text
    assert (
        text.index("subject_name,class") < text.index("Object Prompts") < text.index("Live Subject Prompts")
    )
    assert text.count(".format(unique_token, class_token)") == 50
    prompts = [
        line.split("'")[1].format("sks", "robot") for line in text.splitlines() if line.startswith("'")
    ]
    assert len(set(prompts[:25])) == len(set(prompts[25:])) == 25
    assert all(set(words_of(prompt)) <= set(world_words()) for prompt in prompts)
