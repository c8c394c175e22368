"""The official layouts, read back with json and PIL alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miniature.world.circles import random_circle
from miniature.world.faces import render_face
from miniature.world.layouts import (
    picture_rng,
    write_ade20k,
    write_celeba_hq,
    write_coco,
    write_deepfashion,
    write_depth,
    write_dreambooth,
    write_fill50k,
)
from miniature.world.toys import SUBJECTS
from miniature.world.vocabulary import words_of, world_words
from oft.datasets import read
from oft.datasets.decoding import Wanted, iterate_pictures
from oft.types import Counts

Writer = Callable[..., None]
SPLIT_WRITERS: dict[str, Writer] = {
    "ade20k": write_ade20k,
    "celeba_hq": write_celeba_hq,
    "coco": write_coco,
    "deepfashion": write_deepfashion,
    "fill50k": write_fill50k,
    "hub_depth": write_depth,
}


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


def _pictures(files: dict[str, bytes]) -> list[bytes]:
    """Return the pictures without what lies beside them."""
    return [
        content
        for name, content in files.items()
        if name.endswith(".jpg") or (name.startswith("images/") and name.endswith(".png"))
    ]


def _write(writer: Writer, root: Path, train: int = 4, seed: int = 7) -> dict[str, bytes]:
    writer(root, seed=seed, num_train_images=train, num_val_images=2, size_px=64)
    return _files(root)


@pytest.mark.parametrize("writer", SPLIT_WRITERS.values(), ids=SPLIT_WRITERS)
def test_same_arguments_give_the_same_bytes(writer: Writer, tmp_path: Path) -> None:
    assert _write(writer, tmp_path / "a") == _write(writer, tmp_path / "b")


@pytest.mark.parametrize("writer", SPLIT_WRITERS.values(), ids=SPLIT_WRITERS)
def test_more_pictures_leave_earlier_ones_alone(writer: Writer, tmp_path: Path) -> None:
    few, more = _write(writer, tmp_path / "few"), _write(writer, tmp_path / "more", train=6)
    made = [name for name in few if name.endswith((".jpg", ".png")) or name.startswith("landmarks/")]
    assert made and all(more[name] == few[name] for name in made)
    assert len(_pictures(more)) == 8


@pytest.mark.parametrize("writer", SPLIT_WRITERS.values(), ids=SPLIT_WRITERS)
def test_no_two_pictures_are_alike(writer: Writer, tmp_path: Path) -> None:
    pictures = _pictures(_write(writer, tmp_path / "one"))
    assert len(set(pictures)) == len(pictures) == 6
    assert not set(_pictures(_write(writer, tmp_path / "other", seed=8))) & set(pictures)


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


def test_celeba_hq_layout(tmp_path: Path) -> None:
    _write(write_celeba_hq, tmp_path)
    for split_number, (split, count) in enumerate((("train", 4), ("val", 2))):
        names = (tmp_path / f"{split}.txt").read_text().split()
        prompts = json.loads((tmp_path / f"prompt_{split}_blip.json").read_text())
        assert [prompt["image"] for prompt in prompts] == names and len(names) == count
        for index, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
            rendered = render_face(picture_rng(7, "celeba_hq", split_number, index), 64)
            assert prompt["prompt"] == rendered.captions[0]
            with Image.open(tmp_path / "CelebA-HQ-img" / name) as picture:
                assert picture.size == (64, 64)
            points = np.loadtxt(tmp_path / "landmarks" / f"{Path(name).stem}.txt")
            # Pixels of 1024, centres at whole numbers.
            assert points.shape == (68, 2) and rendered.landmarks is not None
            np.testing.assert_allclose((points + 0.5) / 16 - 0.5, rendered.landmarks, atol=1e-3)


def test_celeba_hq_landmarks_come_back_in_pixels_of_the_picture(tmp_path: Path) -> None:
    _write(write_celeba_hq, tmp_path)
    decoded = list(
        iterate_pictures(
            read("celeba_hq", tmp_path, "val", Counts()), Counts(), Wanted(annotation="landmarks")
        )
    )
    for index, found in enumerate(decoded):
        rendered = render_face(picture_rng(7, "celeba_hq", 1, index), 64)
        assert found.annotation is not None and rendered.landmarks is not None
        np.testing.assert_allclose(found.annotation, rendered.landmarks, atol=1e-3)
    assert len(decoded) == 2


def test_fill50k_layout(tmp_path: Path) -> None:
    _write(write_fill50k, tmp_path)
    entries = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [set(entry) for entry in entries] == [{"text", "image", "conditioning_image"}] * 6
    numbers = [int(Path(entry["image"]).stem) for entry in entries]
    assert numbers == sorted(set(numbers))
    # Of the first numbers 1 % validate: four train, and the two that do not lie far behind.
    assert numbers[:4] == [0, 1, 2, 3]
    circles = [random_circle(picture_rng(7, "fill50k", *place)) for place in ((0, 0), (0, 1), (0, 2), (0, 3))]
    for entry, circle in zip(entries, circles, strict=False):
        assert entry["text"] == f"{circle.colour} circle with {circle.background} background"
        with (
            Image.open(tmp_path / entry["image"]) as picture,
            Image.open(tmp_path / entry["conditioning_image"]) as outline,
        ):
            assert picture.size == outline.size == (64, 64) and picture.mode == outline.mode == "RGB"
            assert set(np.unique(np.asarray(outline))) == {0, 255}


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
