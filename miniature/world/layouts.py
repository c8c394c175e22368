"""The miniature world in the official layouts of the data sets that it stands in for.

Each picture's generator comes from (seed, kind, split, index) alone, so more pictures never change earlier
ones, and the same arguments give byte-identical files.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from miniature.world.backdrops import BACKDROPS
from miniature.world.circles import draw_circle, draw_outline, random_circle
from miniature.world.faces import render_face
from miniature.world.figures import Figure, draw_figure, random_figure
from miniature.world.objects import render_object
from miniature.world.prompts import LIVE_PROMPTS, OBJECT_PROMPTS
from miniature.world.rendered import Rendered
from miniature.world.scenes import render_scene
from miniature.world.styles import render_in_style
from miniature.world.toys import SUBJECTS, render_toy
from oft.conditions.ade20k_classes import CLASS_NAMES, NUM_CLASSES
from oft.datasets.celeba_hq import MARKED_SIDE_PX
from oft.datasets.fill50k import VAL_PERCENT
from oft.datasets.splits import hashed_split
from oft.types import SPLITS, Split

# New kinds come last: a picture's generator hangs on its kind's place.
_KINDS = ("ade20k", "coco", "deepfashion", "dreambooth", "celeba_hq", "fill50k", "style", "depth")
_HUB_FOLDERS: dict[Split, str] = {"train": "train", "val": "validation"}
_ADE_FOLDERS: dict[Split, str] = {"train": "training", "val": "validation"}
_SCENE_SHARE = 0.25
DEEPFASHION_HEIGHT, DEEPFASHION_WIDTH = 1101, 750


def picture_rng(seed: int, kind: str, *place: int) -> np.random.Generator:
    """Return the generator of one picture, from the seed, the data set's name and split and index in it."""
    # The spawn key keeps these pictures apart from those the miniature base is trained on.
    return np.random.default_rng(np.random.SeedSequence([seed, _KINDS.index(kind), *place], spawn_key=(1,)))


def write_ade20k(root: Path, *, seed: int, num_train_images: int, num_val_images: int, size_px: int) -> None:
    """Write ``ADEChallengeData2016`` and, beside it, the reference release's two prompt files."""
    base = root / "ADEChallengeData2016"
    scenes: list[str] = []
    pixels = np.zeros(NUM_CLASSES + 1, np.int64)
    presence = np.zeros((len(SPLITS), NUM_CLASSES + 1), np.int64)
    for split_number, (split, count) in enumerate(_counts(num_train_images, num_val_images)):
        folder = _ADE_FOLDERS[split]
        images, annotations = base / "images" / folder, base / "annotations" / folder
        images.mkdir(parents=True, exist_ok=True)
        annotations.mkdir(parents=True, exist_ok=True)
        prompts: list[dict[str, str]] = []
        for index in range(count):
            rendered = render_scene(picture_rng(seed, "ade20k", split_number, index), size_px)
            stem = f"ADE_{split}_{index + 1:08d}"
            _save_jpeg(rendered.image, images / f"{stem}.jpg")
            Image.fromarray(rendered.labels).save(annotations / f"{stem}.png")
            found = np.bincount(rendered.labels.ravel(), minlength=NUM_CLASSES + 1)
            pixels += found
            presence[split_number] += found > 0
            scenes.append(f"{stem} {_scene_category(rendered)}")
            prompts.append(
                {
                    "source": f"segm/{folder}/{stem}.png",
                    "target": f"color/{folder}/{stem}.jpg",
                    "prompt": rendered.captions[0],
                }
            )
        _write_text(
            root / f"prompt_{split}_blip.json", "".join(json.dumps(prompt) + "\n" for prompt in prompts)
        )
    _write_text(base / "sceneCategories.txt", "".join(f"{line}\n" for line in scenes))
    _write_text(base / "objectInfo150.txt", _object_info(pixels, presence))


def write_coco(root: Path, *, seed: int, num_train_images: int, num_val_images: int, size_px: int) -> None:
    """Write COCO 2017's picture folders and caption files: mostly close views, some scenes."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for split_number, (split, count) in enumerate(_counts(num_train_images, num_val_images)):
        folder = root / f"{split}2017"
        folder.mkdir(parents=True, exist_ok=True)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index in range(count):
            rng = picture_rng(seed, "coco", split_number, index)
            render = render_scene if rng.random() < _SCENE_SHARE else render_object
            rendered = render(rng, size_px)
            # Odd numbers train, even ones val: unique across the splits whatever their sizes.
            number = 2 * index + 1 + split_number
            file_name = f"{number:012d}.jpg"
            _save_jpeg(rendered.image, folder / file_name)
            images.append(
                {"license": 1, "file_name": file_name, "height": size_px, "width": size_px, "id": number}
            )
            annotations += [
                {"image_id": number, "id": 5 * number + place, "caption": caption}
                for place, caption in enumerate(rendered.captions)
            ]
        content = {
            "info": {
                "description": "Miniature world in the layout of COCO 2017",
                "version": "1.0",
                "year": 2017,
            },
            "licenses": [
                {"id": 1, "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}
            ],
            "images": images,
            "annotations": annotations,
        }
        _write_text(root / "annotations" / f"captions_{split}2017.json", json.dumps(content))


def write_deepfashion(
    root: Path, *, seed: int, num_train_images: int, num_val_images: int, size_px: int
) -> None:
    """Write DeepFashion-MultiModal's pictures, DensePose maps (red V, green U, blue part id) and captions.

    Pictures are ``size_px`` wide and keep the data set's ratio. ``train.txt`` and ``val.txt`` list the file
    names of each split.
    """
    height_px = round(size_px * DEEPFASHION_HEIGHT / DEEPFASHION_WIDTH)
    images, densepose = root / "images", root / "densepose"
    images.mkdir(parents=True, exist_ok=True)
    densepose.mkdir(parents=True, exist_ok=True)
    captions: dict[str, str] = {}
    for split_number, (split, count) in enumerate(_counts(num_train_images, num_val_images)):
        names: list[str] = []
        for index in range(count):
            rng = picture_rng(seed, "deepfashion", split_number, index)
            figure = random_figure(rng)
            rendered = draw_figure(figure, rng, height_px, size_px)
            assert rendered.uv is not None
            stem = _figure_stem(figure, 2 * index + 1 + split_number)
            _save_jpeg(rendered.image, images / f"{stem}.jpg")
            vui = np.dstack([rendered.uv[..., 1], rendered.uv[..., 0], rendered.labels])
            Image.fromarray(vui).save(densepose / f"{stem}_densepose.png")
            captions[f"{stem}.jpg"] = rendered.captions[0]
            names.append(f"{stem}.jpg")
        _write_text(root / f"{split}.txt", "".join(f"{name}\n" for name in names))
    _write_text(root / "captions.json", json.dumps(captions))


def write_celeba_hq(
    root: Path, *, seed: int, num_train_images: int, num_val_images: int, size_px: int
) -> None:
    """Write CelebA-HQ's pictures, their landmarks in pixels of 1024, and the prompt file of each split.

    ``train.txt`` and ``val.txt`` list the file names of each split.
    """
    images, landmarks = root / "CelebA-HQ-img", root / "landmarks"
    images.mkdir(parents=True, exist_ok=True)
    landmarks.mkdir(parents=True, exist_ok=True)
    for split_number, (split, count) in enumerate(_counts(num_train_images, num_val_images)):
        prompts: list[dict[str, str]] = []
        for index in range(count):
            rendered = render_face(picture_rng(seed, "celeba_hq", split_number, index), size_px)
            assert rendered.landmarks is not None
            number = 2 * index + split_number
            _save_jpeg(rendered.image, images / f"{number}.jpg")
            points = (rendered.landmarks + 0.5) * (MARKED_SIDE_PX / size_px) - 0.5
            _write_text(landmarks / f"{number}.txt", "".join(f"{x:.3f} {y:.3f}\n" for x, y in points))
            prompts.append({"image": f"{number}.jpg", "prompt": rendered.captions[0]})
        _write_text(root / f"prompt_{split}_blip.json", json.dumps(prompts))
        _write_text(root / f"{split}.txt", "".join(f"{prompt['image']}\n" for prompt in prompts))


def write_fill50k(root: Path, *, seed: int, num_train_images: int, num_val_images: int, size_px: int) -> None:
    """Write fill50k's circles, their outlines and the listing of both, ``train.jsonl``.

    A hash of its name says which split a picture belongs to, so the numbers have gaps.
    """
    images, outlines = root / "images", root / "conditioning_images"
    images.mkdir(parents=True, exist_ok=True)
    outlines.mkdir(parents=True, exist_ok=True)
    entries: list[tuple[int, dict[str, str]]] = []
    for split_number, (split, count) in enumerate(_counts(num_train_images, num_val_images)):
        of_split = (n for n in itertools.count() if hashed_split(f"images/{n}.png", VAL_PERCENT) == split)
        for index, number in enumerate(itertools.islice(of_split, count)):
            rng = picture_rng(seed, "fill50k", split_number, index)
            circle = random_circle(rng)
            rendered = draw_circle(circle, rng, size_px)
            Image.fromarray(rendered.image).save(images / f"{number}.png")
            Image.fromarray(draw_outline(circle, size_px)).save(outlines / f"{number}.png")
            entry = {
                "text": rendered.captions[0],
                "image": f"images/{number}.png",
                "conditioning_image": f"conditioning_images/{number}.png",
            }
            entries.append((number, entry))
    lines = [json.dumps(entry) for _, entry in sorted(entries, key=lambda listed: listed[0])]
    _write_text(root / "train.jsonl", "".join(f"{line}\n" for line in lines))


def write_dreambooth(root: Path, *, seed: int, size_px: int, num_images: int = 5) -> None:
    """Write google/dreambooth's ``dataset`` folder: a few pictures of each subject, classes and prompts."""
    for subject_number, toy in enumerate(SUBJECTS.values()):
        folder = root / "dataset" / toy.name
        folder.mkdir(parents=True, exist_ok=True)
        places = picture_rng(seed, "dreambooth", subject_number).permutation(list(BACKDROPS))
        for index in range(num_images):
            rng = picture_rng(seed, "dreambooth", subject_number, index)
            rendered = render_toy(rng, toy, size_px, str(places[index % len(places)]))
            # The official numbering has gaps.
            number = index + (index >= 2)
            _save_jpeg(rendered.image, folder / f"{number:02d}.jpg")
    _write_text(root / "dataset" / "prompts_and_classes.txt", _prompts_and_classes())


def write_style(
    root: Path, *, style: str, seed: int, num_train_images: int, num_val_images: int, size_px: int
) -> None:
    """Write a set in the hub's layout of pictures in one manner; no caption names the manner.

    The same seed draws the same pictures in every manner.
    """
    for split_number, (split, count) in enumerate(_counts(num_train_images, num_val_images)):
        rngs = (picture_rng(seed, "style", split_number, index) for index in range(count))
        _write_hub_split(root / _HUB_FOLDERS[split], (render_in_style(style, rng, size_px) for rng in rngs))


def write_depth(root: Path, *, seed: int, num_train_images: int, num_val_images: int, size_px: int) -> None:
    """Write a set in the hub's layout of scenes and single things, each with its depth map."""
    for split_number, (split, count) in enumerate(_counts(num_train_images, num_val_images)):
        rngs = (picture_rng(seed, "depth", split_number, index) for index in range(count))
        rendered = ((render_scene if rng.random() < 0.5 else render_object)(rng, size_px) for rng in rngs)
        _write_hub_split(root / _HUB_FOLDERS[split], rendered, with_depth=True)


def _write_hub_split(folder: Path, pictures: Iterable[Rendered], *, with_depth: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for index, rendered in enumerate(pictures):
        entry = {"file_name": f"{index:06d}.jpg"}
        _save_jpeg(rendered.image, folder / entry["file_name"])
        if with_depth:
            assert rendered.depth is not None, "scenes and things know their depth"
            entry["conditioning_image"] = f"{index:06d}-depth.png"
            levels = (rendered.depth * 255).round().astype(np.uint8)
            Image.fromarray(levels).save(folder / entry["conditioning_image"])
        lines.append(json.dumps({**entry, "text": rendered.captions[0]}))
    _write_text(folder / "metadata.jsonl", "".join(f"{line}\n" for line in lines))


def _counts(num_train_images: int, num_val_images: int) -> tuple[tuple[Split, int], ...]:
    return (("train", num_train_images), ("val", num_val_images))


def _save_jpeg(image: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(image).save(path, quality=95, subsampling=0)


def _write_text(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def _scene_category(rendered: Rendered) -> str:
    for name, category in (("sea", "coast"), ("building", "street"), ("water", "lake_natural")):
        if name in rendered.names:
            return category
    return "field_wild"


def _object_info(pixels: NDArray[np.int64], presence: NDArray[np.int64]) -> str:
    """Return the table of each class's share of pixels and number of pictures; spaces pad its cells."""
    lines = ["Idx\tRatio\tTrain\tVal\tName"]
    total = max(int(pixels.sum()), 1)
    for number, name in enumerate(CLASS_NAMES, start=1):
        cells = (number, f"{pixels[number] / total:.4f}", presence[0, number], presence[1, number], name)
        lines.append("\t".join(str(cell).ljust(8) for cell in cells))
    return "\n".join(lines) + "\n"


def _figure_stem(figure: Figure, number: int) -> str:
    group = "WOMEN" if figure.person == "woman" else "MEN"
    category = {"": "Dresses", "skirt": "Skirts", "shorts": "Shorts", "trousers": "Pants"}[figure.lower]
    view = "3_back" if figure.from_behind else "1_front"
    return f"{group}-{category}-id_{number:08d}-01_{view}"


def _prompts_and_classes() -> str:
    classes = "\n".join(f"{toy.name},{toy.kind}" for toy in SUBJECTS.values())
    blocks = [f"Classes\n\nsubject_name,class\n{classes}\n\nPrompts\n"]
    for title, prompts in (("Object Prompts", OBJECT_PROMPTS), ("Live Subject Prompts", LIVE_PROMPTS)):
        lines = ",\n".join(f"'{prompt}'.format(unique_token, class_token)" for prompt in prompts)
        blocks.append(f"{title}\n\nprompt_list = [\n{lines}\n]\n")
    return "\n".join(blocks)
