"""Small hand-made data sets in the official layouts, each with its usual faults."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.loopback import FileServer, file_server

SavePicture = Callable[..., Path]
SaveLabels = Callable[..., Path]

# The fixtures below that are a small data set, and the reader of each.
ROOTS = {
    "ade20k_root": "ade20k",
    "celeba_hq_root": "celeba_hq",
    "coco_root": "coco",
    "deepfashion_root": "deepfashion",
    "dreambooth_root": "dreambooth",
    "fill50k_root": "fill50k",
    "hub_root": "hub",
    "parquet_root": "hub",
    "depth_root": "hub_depth",
    "picture_folder": "image_folder",
    "reference_root": "reference",
    "unsplit_folder": "train_folder",
}


def _random_picture(seed: int, height_px: int, width_px: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width_px, height_px), Image.Resampling.BICUBIC)


def save_picture(path: Path, seed: int = 0, height_px: int = 24, width_px: int = 32) -> Path:
    """Write a smooth random picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _random_picture(seed, height_px, width_px).save(path)
    return path


def save_labels(
    path: Path, highest: int = 150, height_px: int = 24, width_px: int = 32, seed: int = 0
) -> Path:
    """Write a random id map of one channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.random.default_rng(seed).integers(0, highest + 1, (height_px, width_px), dtype=np.uint8)
    Image.fromarray(ids).save(path)
    return path


def truncate(path: Path, share: float = 0.6) -> Path:
    """Cut the end of a file off."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.fixture(name="save_picture")
def save_picture_fixture() -> SavePicture:
    return save_picture


@pytest.fixture(name="save_labels")
def save_labels_fixture() -> SaveLabels:
    return save_labels


@pytest.fixture(name="truncate")
def truncate_fixture() -> Callable[..., Path]:
    return truncate


@pytest.fixture
def unsplit_folder(tmp_path: Path) -> Path:
    """Pictures without splits, one with a text beside it, one named in words, and one that cannot be read."""
    root = tmp_path / "unsplit"
    for place, name in enumerate(("a red house.png", "b.png", "inner/a boat.png")):
        save_picture(root / name, seed=place)
    (root / "b.txt").write_text("a tree on the grass\n", encoding="utf-8")
    (root / "broken picture.png").write_bytes(b"no picture")
    return root


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """An image folder: four sound training pictures, one damaged, no validation pictures."""
    root = tmp_path / "folder"
    for number, name in enumerate(["a-dog", "a-cat", "a-tree", "a-house"]):
        save_picture(root / "train" / f"{name}.png", seed=number)
    (root / "train" / "broken.png").write_bytes(b"")
    (root / "val").mkdir()
    return root


@pytest.fixture
def ade20k_root(tmp_path: Path) -> Path:
    """Training pictures: sound, truncated, empty, without a map, with a map of another size; one in val."""
    top = tmp_path / "ade20k" / "ADEChallengeData2016"
    images, annotations = top / "images" / "training", top / "annotations" / "training"
    for number in range(1, 6):
        save_picture(images / f"ADE_train_{number:08d}.jpg", seed=number)
        save_labels(annotations / f"ADE_train_{number:08d}.png", seed=number)
    truncate(images / "ADE_train_00000002.jpg")
    (images / "ADE_train_00000003.jpg").write_bytes(b"")
    (annotations / "ADE_train_00000004.png").unlink()
    save_labels(annotations / "ADE_train_00000005.png", height_px=32, width_px=24)
    save_picture(top / "images" / "validation" / "ADE_val_00000001.jpg")
    save_labels(top / "annotations" / "validation" / "ADE_val_00000001.png")
    return top.parent


@pytest.fixture
def coco_root(tmp_path: Path) -> Path:
    """Three for validation, listed out of order, the last without a file, the second without captions; one to
    train on."""
    root = tmp_path / "coco"
    save_picture(root / "train2017" / "000000000002.jpg", seed=2)
    for number in (9, 25):
        save_picture(root / "val2017" / f"{number:012d}.jpg", seed=number)
    save_picture(root / "val2017" / "000000000099.jpg")  # not listed
    (root / "annotations").mkdir()
    listing = {
        "images": [
            {"id": 25, "file_name": "000000000025.jpg", "license": 4},
            {"id": 9, "file_name": "000000000009.jpg"},
            {"id": 30, "file_name": "000000000030.jpg", "license": 4},
        ],
        "licenses": [{"id": 4, "name": "Attribution License", "url": ""}],
        "annotations": [
            {"id": 3, "image_id": 9, "caption": "A tree by  the\nroad. "},
            {"id": 1, "image_id": 9, "caption": "a tree"},
            {"id": 2, "image_id": 30, "caption": "a lake"},
        ],
    }
    (root / "annotations" / "captions_val2017.json").write_text(json.dumps(listing))
    small = {
        "images": [{"id": 2, "file_name": "000000000002.jpg"}],
        "annotations": [{"id": 4, "image_id": 2, "caption": "a car"}],
    }
    (root / "annotations" / "captions_train2017.json").write_text(json.dumps(small))
    return root


@pytest.fixture
def deepfashion_root(tmp_path: Path) -> Path:
    """Three people, the last without a part map; the ids lie in the third channel."""
    root = tmp_path / "deepfashion"
    names = [f"WOMEN-Dresses-id_0000000{number}-01_1_front" for number in (1, 2, 3)]
    for number, name in enumerate(names):
        save_picture(root / "images" / f"{name}.jpg", seed=number, height_px=40, width_px=28)
    (root / "densepose").mkdir()
    for name in names[:2]:
        iuv = np.full((40, 28, 3), 200, dtype=np.uint8)
        iuv[..., 2] = np.arange(28) % 25
        Image.fromarray(iuv).save(root / "densepose" / f"{name}_densepose.png")
    captions = {f"{name}.jpg": f"a person in dress {number}" for number, name in enumerate(names)}
    (root / "captions.json").write_text(json.dumps(captions))
    (root / "train.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    return root


PROMPTS_AND_CLASSES = """Classes

subject_name,class
dog,dog
dog2,dog
rc_car,toy

Prompts

Object Prompts

prompt_list = [
'a {0} {1} in the jungle'.format(unique_token, class_token),
'a red {0} {1}'.format(unique_token, class_token)
]

Live Subject Prompts

prompt_list = [
'a {0} {1} in the jungle'.format(unique_token, class_token),
"a {0} {1} with its owner's hat".format(unique_token, class_token),
'a wet {0} {1}'.format(unique_token, class_token)
]
"""


@pytest.fixture
def dreambooth_root(tmp_path: Path) -> Path:
    """Three subjects, gaps in the numbering."""
    root = tmp_path / "dreambooth"
    for name in ("dog2/00", "dog/00", "dog/03", "rc_car/01"):
        save_picture(root / "dataset" / f"{name}.jpg")
    (root / "dataset" / "prompts_and_classes.txt").write_text(PROMPTS_AND_CLASSES)
    return root


def save_landmarks(path: Path, side_px: int = 1024, seed: int = 0) -> Path:
    """Write 68 random points inside a square picture, as numpy.savetxt does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, np.random.default_rng(seed).uniform(0, side_px, (68, 2)))
    return path


def save_parquet(path: Path, columns: dict[str, list[Any]], rows_a_group: int = 4) -> Path:
    """Write columns as the hub does: pictures (bytes) as structs of bytes and path."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    kept = {
        name: [{"bytes": value, "path": None} for value in values]
        if any(isinstance(value, bytes) for value in values)
        else values
        for name, values in columns.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(pa.table(kept), path, row_group_size=rows_a_group)
    return path


@pytest.fixture(name="save_landmarks")
def save_landmarks_fixture() -> Callable[..., Path]:
    return save_landmarks


@pytest.fixture(name="save_parquet")
def save_parquet_fixture() -> Callable[..., Path]:
    return save_parquet


@pytest.fixture
def celeba_hq_root(tmp_path: Path) -> Path:
    """Faces around the border between the splits, one without landmarks; pictures stored at 32 px."""
    root = tmp_path / "celeba_hq"
    for number in (0, 7, 27010, 27011, 29999):
        save_picture(root / "CelebA-HQ-img" / f"{number}.jpg", number, 32, 32)
        if number != 7:
            save_landmarks(root / "landmarks" / f"{number}.txt", seed=number)
    prompts = [{"image": "0.jpg", "prompt": "a man"}, {"image": "27010.jpg", "prompt": "a woman"}]
    (root / "prompt_train_blip.json").write_text(json.dumps(prompts))
    return root


@pytest.fixture
def fill50k_root(tmp_path: Path) -> Path:
    """Circles and their outlines, the last listed without a file; number 26 falls on the validation side."""
    root = tmp_path / "fill50k"
    lines = []
    for number in (0, 1, 2, 26, 70):
        entry = {
            "text": f"circle {number}",
            "image": f"images/{number}.png",
            "conditioning_image": f"conditioning_images/{number}.png",
        }
        lines.append(json.dumps(entry))
        if number != 70:
            save_picture(root / entry["image"], number, 24, 24)
            save_picture(root / entry["conditioning_image"], number + 100, 24, 24)
    (root / "train.jsonl").write_text("\n".join(lines))
    return root


@pytest.fixture
def hub_root(tmp_path: Path) -> Path:
    """Training and validation folders with metadata.jsonl, each picture with a conditioning picture."""
    root = tmp_path / "hub"
    for split, numbers in (("train", (1, 2, 3)), ("validation", (4, 5))):
        lines = []
        for number in numbers:
            save_picture(root / split / f"{number}.jpg", number)
            save_picture(root / split / "edges" / f"{number}.png", number + 100)
            lines.append(
                {
                    "file_name": f"{number}.jpg",
                    "text": f"{number}",
                    "conditioning_image": f"edges/{number}.png",
                }
            )
        (root / split / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return root


@pytest.fixture
def depth_root(hub_root: Path) -> Path:
    """As ``hub_root``."""
    return hub_root


@pytest.fixture
def parquet_root(tmp_path: Path) -> Path:
    """Two training files and one for validation, in row groups of four; captions number the rows."""
    root = tmp_path / "parquet"
    for name, numbers in (
        ("train-00000-of-00002", range(6)),
        ("train-00001-of-00002", range(6, 8)),
        ("validation-00000-of-00001", range(8, 10)),
    ):
        columns: dict[str, list[Any]] = {
            "image": [encoded(number) for number in numbers],
            "text": [f"caption {number}" for number in numbers],
            "conditioning_image": [encoded(number + 100) for number in numbers],
        }
        save_parquet(root / "data" / f"{name}.parquet", columns)
    return root


def encoded(seed: int) -> bytes:
    """The bytes of a PNG of a smooth random picture."""
    stream = io.BytesIO()
    _random_picture(seed, 24, 32).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def reference_root(tmp_path: Path) -> Path:
    """The reference release's tree: pictures and coloured maps under one name, the last without its map."""
    root = tmp_path / "reference"
    for split, numbers in (("train", (0, 1, 2)), ("val", (0, 8))):
        for number in numbers:
            save_picture(root / split / "color" / f"{number}.png", number)
            if number != 2:
                save_picture(root / split / "segm" / f"{number}.png", number + 100)
        lines = [
            {"source": f"source/{number}.png", "target": f"target/{number}.png", "prompt": f"a city {number}"}
            for number in numbers
        ]
        text = "\n".join(map(json.dumps, lines))
        (root / split / f"prompt_{split}_blip_full.json").write_text(text)
        (root / split / f"prompt_{split}_blip.json").write_text("")
    return root


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A web server on this machine, reached without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with file_server() as running:
        yield running
