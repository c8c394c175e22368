"""A small run in the layout the stages leave: a task of each kind, and everything a report reads."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oft.params import parse_params
from oft.pictures import encode_png
from oft.prepare.cards import write_card
from oft.report import collect, edge_reextractor, render
from oft.report.results import Picture, ReportData
from oft.shards.shards import Sample, pack_sample, write_shards
from oft.storage import load_yaml
from oft.types import SPLITS, Counts
from tests.cards import origin_of
from tests.conftest import ROOT

SIDE_PX = 16
KEYS = tuple(f"val{number:02d}" for number in range(8))
PROMPTS = tuple(f"prompt{number:02d}" for number in range(6))
CAPTION = "a house by the lake"
VALUES = {"none": 0.1, "hint": 0.25, "oft": 0.4, "coft": 0.7}
RECONSTRUCTION, REAL = 0.8, 0.9

WriteSamples = Callable[..., None]


def draw_picture(*seed: int, side_px: int = SIDE_PX) -> Picture:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side_px, side_px), Image.Resampling.BICUBIC))


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_samples(folder: Path, entries: Iterable[tuple[str, int, Picture, str]], shard: int = 0) -> None:
    """Write generated pictures as the stage `sample` does: entries are key, index, picture, prompt."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / f"{shard}.tar", "w") as archive:
        for key, index, picture, prompt in entries:
            record = {"key": key, "index": index, "prompt": prompt, "seed": 1000 + index}
            for extension, data in (("png", encode_png(picture)), ("json", json.dumps(record).encode())):
                member = tarfile.TarInfo(f"{key}-{index}.{extension}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def write_curve(path: Path, num_steps: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{step}\t{1 / (step + 1) + step % 3 / 10}\n" for step in range(num_steps))
    path.write_text(f"step\t{path.stem}\n{rows}", encoding="utf-8")


def _metrics(score: str, value: float, adapter: str) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        score: value,
        f"{score}_real": REAL,
        f"{score}_reconstruction": RECONSTRUCTION,
        "frechet_distance": 12.5,
        "kernel_distance": 0.01,
        "kernel_distance_reconstruction": 0.0004,
        "prompt_similarity": 0.27,
        "num_images": 8,
        "num_real_images": 8,
        "resolution_px": SIDE_PX,
        "scheduler": "ddim",
        "guidance_scale": 3.0,
        "judges": "miniature",
        "brand_new_key": 1.5,
    }
    if adapter != "none":
        metrics |= {
            "hint_encoder_parameters": 86400,
            "hint_encoder_share": 1.0,
            "trainable_parameters": 86400,
        }
    if adapter in ("oft", "coft"):
        metrics |= {"hint_encoder_share": 0.25, "trainable_parameters": 345600, "rotation_parameters": 259200}
        metrics |= {"energy_change": 3.1e-7, "orthogonality_error": 4.8e-7}
    return metrics


def write_pictures(folder: Path, score: str, value: float, pictures: Iterable[tuple[str, int]]) -> None:
    """Write what the stage `evaluate` says of each picture: scores around the run's, as hard for all runs."""
    rows, pixels = [], []
    for place, (key, index) in enumerate(pictures):
        hard = (place % 4 - 1.5) / 50
        values = {"": value + hard, "_reconstruction": RECONSTRUCTION + hard, "_real": REAL + hard}
        names = "aacc" if score == "miou" else score
        rows.append({"key": key, "index": index, **{f"{names}{end}": own for end, own in values.items()}})
        counts = {end.removeprefix("_") or "generated": _pixels_of(own) for end, own in values.items()}
        pixels.append({"key": key, "index": index, **counts})
    write_json(folder / "per_image.json", rows)
    if score == "miou":
        write_json(folder / "class_pixels.json", pixels)


def _pixels_of(iou: float) -> dict[str, list[int]]:
    """Two classes of 10,000 pixels each, found with this IoU."""
    hits = round(20_000 * iou / (1 + iou))
    return {index: [hits, 10_000, 10_000] for index in ("3", "5")}


def write_validation(run_folder: Path, steps: Iterable[int]) -> None:
    """Write validation grids as the stage `train` does: one colour each, told from the step."""
    folder = run_folder / "train" / "dvclive" / "plots" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        picture = np.full((54, 72, 3), step, np.uint8)
        (folder / f"validation-{step:08d}.png").write_bytes(encode_png(picture))


def write_angles(root: Path) -> None:
    """Write what the stage `angles` does: two rows, each of a picture and three drawings of it."""
    cells = [[draw_picture(row, column) for column in range(4)] for row in range(2)]
    path = root / "runs" / "angles" / "grid.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_png(np.concatenate([np.concatenate(row, axis=1) for row in cells])))
    scores = {
        f"{score}_{form}": value
        for score, value in (("psnr", 21.75), ("correlation", 0.625))
        for form in ("full", "angle", "magnitude", "mean_picture")
    }
    counts = {"num_images": 12, "num_train_images": 345, "dataset": "ade20k"}
    write_json(path.with_name("metrics.json"), scores | counts)


def _samples(split: str, number: int, with_condition: bool) -> Iterable[Sample]:
    for index in range(number):
        picture = draw_picture(index, len(split))
        condition = 255 - picture if with_condition else None
        meta = {"captions": [CAPTION], "licence": "CC0 1.0"}
        yield pack_sample(f"{split}{index:02d}", picture, condition, None, meta)


def build_run(root: Path) -> None:
    """Write a whole run into a folder."""
    scores = {"segm_ade20k": "miou", "canny_coco": "canny_f1", "subject_duck_toy": "subject_similarity"}
    counts = {
        "train": {
            "seen": 9,
            "kept": 7,
            "dropped": {"truncated": 2},
            "offenders": {"truncated": ["broken.jpg"]},
        },
        "val": {"seen": 8, "kept": 8, "dropped": {}, "offenders": {}},
    }
    for task, score in scores.items():
        is_subject = task.startswith("subject")
        shards = root / "data" / "shards" / task
        write_shards(_samples("train", 7, not is_subject), shards, "train", 4, counts=Counts(7, 7))
        if not is_subject:
            write_shards(_samples("val", len(KEYS), True), shards, "val", 3, counts=Counts(8, 8))
            write_json(root / "data" / "conditions" / f"{task}.counts.json", counts)
        write_json(root / "data" / "shards" / f"{task}.counts.json", counts)
        for number, (adapter, value) in enumerate(VALUES.items()):
            if is_subject and adapter == "hint":
                continue
            folder = root / "runs" / task / adapter
            keys, indices = (PROMPTS, (0, 1)) if is_subject else (KEYS, (0,))
            write_samples(
                folder / "samples",
                [
                    (key, index, draw_picture(place, number, index), f"{CAPTION} {place}")
                    for place, key in enumerate(keys)
                    for index in indices
                ],
            )
            write_json(folder / "metrics.json", _metrics(score, value, adapter))
            write_pictures(
                folder / "plots", score, value, [(key, index) for key in keys for index in indices]
            )
            if task == "segm_ade20k":
                cells = [
                    {"actual": actual, "predicted": predicted, "share": 0.8 if actual == predicted else 0.1}
                    for actual in ("sky", "tree")
                    for predicted in ("sky", "tree", "(rest)")
                ]
                write_json(folder / "plots" / "confusion.json", cells)
            if adapter == "none":
                continue
            for phase in ("train", *(("magnitude",) if adapter != "hint" else ())):
                write_curve(folder / phase / "dvclive" / "plots" / "metrics" / "train" / "loss.tsv", 60)
            write_curve(folder / "train" / "dvclive" / "plots" / "metrics" / "val_loss.tsv", 4)
            write_validation(folder, (15, 30, 45, 60))
            write_json(folder / "train" / "summary.json", {"steps": 60, "nested": {"best": 0.5}})
            losses = {"val_loss_before": 0.5} | ({"val_loss_after": 0.25} if adapter != "hint" else {})
            write_json(folder / "magnitude" / "summary.json", losses)
    for dataset in ("ade20k", "coco", "dreambooth"):
        for folder_name in ("raw", "captions"):
            write_json(root / "data" / folder_name / f"{dataset}.counts.json", counts)
    for task in scores:
        dataset = "dreambooth" if task.startswith("subject") else task.partition("_")[2]
        write_card(
            root / "data" / "shards" / task,
            task,
            origin_of(parse_params(PARAMS), task),
            {"acquire": root / "data" / "raw" / f"{dataset}.counts.json"},
        )
    write_angles(root)
    write_json(
        root / ".telemetry" / "train@segm_ade20k-oft.json", {"seconds": 95.2, "peak_memory_bytes": 3 * 2**30}
    )


_DEFAULTS: dict[str, Any] = load_yaml((ROOT / "conf" / "defaults.yaml").read_text(encoding="utf-8"))
PARAMS: dict[str, Any] = _DEFAULTS | {
    "resolution_px": SIDE_PX,
    "subjects": {"subject_duck_toy": {"dataset": "dreambooth", "subject": "duck_toy"}},
    "control_tasks": ["segm_ade20k", "canny_coco"],
    "subject_tasks": ["subject_duck_toy"],
    "control_adapters": ["oft", "coft", "hint"],
    "subject_adapters": ["oft", "coft"],
    "transfers": {},
    "base_tasks": ["segm_ade20k", "canny_coco", "subject_duck_toy"],
    "train": _DEFAULTS["train"] | {"max_train_steps": 60, "batch_size": 4},
}


def collect_run(root: Path, values: dict[str, Any], num_rows: int = 2, seed: int = 0) -> ReportData:
    """Collect a run with these settings, so many rows and this seed."""
    return collect(root, parse_params(values | {"report": {"num_rows": num_rows}, "seed": seed}))


@pytest.fixture
def values() -> dict[str, Any]:
    """The run's settings, to be changed."""
    copied: dict[str, Any] = json.loads(json.dumps(PARAMS))
    return copied


@pytest.fixture(scope="session")
def pristine_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run; read it, never write into it."""
    root = tmp_path_factory.mktemp("run")
    build_run(root)
    return root


@pytest.fixture
def run_folder(pristine_run: Path, tmp_path: Path) -> Path:
    """A whole run of the test's own, to be damaged."""
    return Path(shutil.copytree(pristine_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def report(pristine_run: Path) -> ReportData:
    return collect_run(pristine_run, PARAMS, num_rows=3)


@pytest.fixture(scope="session")
def rendered(report: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole run's page."""
    out = tmp_path_factory.mktemp("report")
    render(report, out, reextract=edge_reextractor(parse_params(PARAMS)))
    return out


@pytest.fixture(name="write_samples")
def write_samples_fixture() -> WriteSamples:
    return write_samples


@pytest.fixture(name="draw_picture")
def draw_picture_fixture() -> Callable[..., Picture]:
    return draw_picture


@pytest.fixture
def style_report(tmp_path: Path, values: dict[str, Any]) -> ReportData:
    """A style of four pictures a split, drawn for all validation captions and three training ones."""
    nothing = {"control_tasks": [], "subject_tasks": [], "style_adapters": ["oft"]}
    values |= nothing | {"style_tasks": ["style_ink"], "base_tasks": ["style_ink"]}
    shards = tmp_path / "data" / "shards" / "style_ink"
    for split in SPLITS:
        samples = [
            pack_sample(
                f"{split}{place}",
                draw_picture(place, len(split)),
                meta={"captions": [CAPTION], "licence": ""},
                lossless=True,
            )
            for place in range(4)
        ]
        write_shards(samples, shards, split, 4)
    seen = ["train0", "train1", "train3"]
    write_json(shards / "prompts.json", {"prompts": {}, "seen": seen})
    for adapter in ("none", "oft"):
        entries = [
            (key, 0, draw_picture(9, place), CAPTION)
            for place, key in enumerate([*seen, *(f"val{place}" for place in range(4))])
        ]
        write_samples(tmp_path / "runs" / "style_ink" / adapter / "samples", entries)
    return collect_run(tmp_path, values, num_rows=2)
