from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from oft.captions.store import CaptionRecord, write_captions
from oft.conditions import CONDITIONS, Condition
from oft.conditions.ade20k_classes import colourise
from oft.conditions.canny import extract_canny
from oft.conditions.landmarks import MIRRORED_LANDMARKS, extract_landmarks
from oft.parallel import WORKERS
from oft.pictures import load_picture
from oft.prepare.extraction import extract_split
from oft.prepare.geometry import Geometry
from oft.shards.shards import Sample, decode_condition, decode_image, decode_labels, picture_size
from oft.types import Counts, Split
from tests.conftest import ROOT, dataset
from tests.layouts import ROOTS, save_picture
from tests.oft.conditions.networks import save_depth_anything, save_segformer


def extract(
    root: Path,
    reader: str,
    condition: str,
    split: Split = "train",
    resolution_px: int = 24,
    counts: Counts | None = None,
    settings: dict[str, Any] | None = None,
    **prepare: Any,
) -> list[Sample]:
    """Extract one split; ``prepare`` goes to the data set's settings."""
    chosen, tally = dataset(reader, **prepare), counts or Counts()
    return list(extract_split(chosen, condition, settings or {}, root, split, resolution_px, 95, tally))


def arrays(sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.integer]]:
    """Return picture, condition and ids."""
    condition, labels = decode_condition(sample), decode_labels(sample)
    assert condition is not None and labels is not None
    return decode_image(sample), condition, labels


@pytest.mark.parametrize(("fit", "resolution_px"), [("crop", 24), ("random_crop", 24), ("pad", 32)])
def test_a_picture_and_its_id_map_keep_one_geometry(tmp_path: Path, fit: str, resolution_px: int) -> None:
    """The picture's red channel is its id map; at sizes that need no resampling they stay equal."""
    ids = np.random.default_rng(0).integers(0, 151, (24, 32), dtype=np.uint8)
    top = tmp_path / "ADEChallengeData2016"
    for kind, array in (("images", np.stack([ids] * 3, axis=2)), ("annotations", ids)):
        (top / kind / "training").mkdir(parents=True)
        Image.fromarray(array).save(top / kind / "training" / "a.png")
    [sample] = extract(tmp_path, "ade20k", "segmentation", resolution_px=resolution_px, fit=fit)
    picture, condition, labels = arrays(sample)
    loaded = load_picture(top / "images" / "training" / "a.png")
    expected = np.asarray(Geometry(resolution_px, fit).of("a").picture(loaded))  # type: ignore[arg-type]
    assert sample.key == "a"
    np.testing.assert_array_equal(labels, expected[..., 0])
    np.testing.assert_array_equal(condition, colourise(labels.astype(np.uint8)))
    assert np.abs(picture.astype(int) - expected).mean() < 4


def test_extraction_counts_what_it_leaves_out(ade20k_root: Path) -> None:
    counts = Counts()
    kept = extract(ade20k_root, "ade20k", "segmentation", resolution_px=16, counts=counts)
    assert [sample.key for sample in kept] == ["ADE_train_00000001"]
    assert counts.seen == counts.kept + counts.dropped.total() == 5
    too_small = Counts()
    assert not extract(ade20k_root, "ade20k", "segmentation", "val", 56, too_small)
    assert too_small.dropped == {"too_small": 1}


def test_a_picture_without_the_annotation_of_its_condition_is_dropped(hub_root: Path) -> None:
    listing = hub_root / "train" / "metadata.jsonl"
    listing.write_text(listing.read_text().replace('"conditioning_image": "edges/1.png"', '"more": 1'))
    counts = {name: Counts() for name in ("given", "canny")}
    kept = {name: len(extract(hub_root, "hub", name, counts=tally)) for name, tally in counts.items()}
    assert kept == {"given": 2, "canny": 3}
    assert counts["given"].offenders == {"annotation_missing": ["1.jpg"]} and counts["given"].seen == 3


def test_a_condition_of_the_picture_takes_its_settings_and_keeps_no_id_map(coco_root: Path) -> None:
    def edges(low: int) -> int:
        samples = extract(
            coco_root, "coco", "canny", "val", settings={"low_threshold": low, "high_threshold": 200}
        )
        condition = decode_condition(samples[0])
        assert samples[0].labels is None and condition is not None and condition.shape == (24, 24, 3)
        return int((condition > 0).sum())

    assert edges(1) > edges(199)


def test_part_maps_are_read_from_their_channel_and_padded(deepfashion_root: Path) -> None:
    found = extract(deepfashion_root, "deepfashion", "densepose", resolution_px=40, fit="pad")
    assert len(found) == 2
    for sample in found:
        _, condition, labels = arrays(sample)
        assert labels.shape == (40, 40) and condition.shape == (40, 40, 3)
        np.testing.assert_array_equal(labels[0, 6:34], np.arange(28) % 25)


def test_left_becomes_right_in_a_mirror_image_and_its_condition(
    deepfashion_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mirroring commutes with extraction, but that each id becomes its twin."""
    twins = np.array([0, *range(24, 0, -1)])
    draw = CONDITIONS["densepose"].extract
    assert draw is not None
    monkeypatch.setitem(CONDITIONS, "densepose", replace(CONDITIONS["densepose"], mirrored=twins))
    counts = Counts()
    samples = extract(deepfashion_root, "deepfashion", "densepose", flip=True, counts=counts)
    assert counts.kept == 2 and len(samples) == 4
    for plain, flipped in zip(samples[::2], samples[1::2], strict=True):
        assert flipped.key == f"{plain.key}-flipped" and flipped.meta["mirrors"] == plain.key
        picture, _, labels = arrays(plain)
        mirrored_picture, mirrored_condition, mirrored_labels = arrays(flipped)
        assert np.abs(mirrored_picture[:, ::-1].astype(int) - picture).mean() < 2
        np.testing.assert_array_equal(mirrored_labels, twins[labels[:, ::-1]])
        np.testing.assert_array_equal(mirrored_condition, draw(mirrored_labels))


def test_edges_of_a_mirror_image_are_those_found_in_it(picture_folder: Path) -> None:
    settings = {"low_threshold": 5, "high_threshold": 20}
    plain, flipped, *_ = extract(picture_folder, "image_folder", "canny", settings=settings, flip=True)
    source = load_picture(picture_folder / "train" / plain.meta["source"])
    mirrored = np.ascontiguousarray(np.asarray(Geometry(24).picture(source))[:, ::-1])
    condition = decode_condition(flipped)
    assert condition is not None and condition.any()
    np.testing.assert_array_equal(condition, extract_canny(mirrored, **settings))


def test_validation_pictures_have_no_mirror_images_and_are_square(coco_root: Path) -> None:
    samples = extract(coco_root, "coco", "canny", "val", flip=True, fit="buckets")
    assert [picture_size(sample) for sample in samples] == [(24, 24)] * 2
    assert not any("mirrors" in sample.meta for sample in samples)


def test_training_pictures_keep_their_aspect_in_buckets(deepfashion_root: Path) -> None:
    samples = extract(deepfashion_root, "deepfashion", "densepose", resolution_px=48, fit="buckets")
    assert len(samples) == 2
    for sample in samples:
        picture, condition, labels = arrays(sample)
        assert picture.shape == condition.shape == (56, 40, 3) and labels.shape == (56, 40)


@pytest.mark.parametrize("fit", ["crop", "pad", "buckets"])
def test_landmarks_are_drawn_where_they_lie_in_a_picture_and_in_its_mirror_image(
    celeba_hq_root: Path, fit: str
) -> None:
    root = celeba_hq_root
    save_picture(root / "CelebA-HQ-img" / "0.jpg", 0, height_px=64, width_px=96)
    np.savetxt(root / "landmarks" / "0.txt", points := np.random.default_rng(1).uniform(300, 700, (68, 2)))
    plain, flipped, *_ = extract(root, "celeba_hq", "landmarks", resolution_px=48, fit=fit, flip=True)
    source = (96, 64)
    geometry = Geometry(48, fit)  # type: ignore[arg-type]
    width, height = geometry.size_px(source)
    lie = geometry.annotation("landmarks", (points + 0.5) * [96 / 1024, 64 / 1024] - 0.5, source)
    mirrored = np.stack([width - 1 - lie[:, 0], lie[:, 1]], axis=1)[MIRRORED_LANDMARKS]
    assert flipped.meta["mirrors"] == plain.key and plain.labels is None
    for sample, expected in ((plain, lie), (flipped, mirrored)):
        condition = decode_condition(sample)
        assert condition is not None and picture_size(sample) == (width, height)
        np.testing.assert_array_equal(condition, extract_landmarks(expected, (height, width)))
        # For evaluation: the drawing does not lead back to them.
        np.testing.assert_allclose(sample.meta["landmarks"], expected, atol=6e-4)


@pytest.mark.parametrize(("root", "condition"), [("fill50k_root", "circles"), ("reference_root", "given")])
@pytest.mark.parametrize("fit", ["crop", "pad", "buckets"])
def test_a_given_picture_follows_its_picture_into_the_mirror_image(
    root: str, condition: str, fit: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(root)
    samples = extract(folder, ROOTS[root], condition, resolution_px=48, fit=fit, flip=True)
    assert len(samples) >= 4
    for plain, flipped in zip(samples[::2], samples[1::2], strict=True):
        given, mirrored = decode_condition(plain), decode_condition(flipped)
        assert given is not None and mirrored is not None and plain.labels is None
        assert decode_image(plain).shape == given.shape == mirrored.shape
        assert not np.array_equal(given, mirrored)
        np.testing.assert_array_equal(mirrored[:, ::-1], given)


Pictures = Sequence[NDArray[np.uint8]]


def load_inverting(settings: Any, device: str) -> Callable[[Pictures], list[NDArray[np.uint8]]]:
    """A network that inverts pictures, which must be of one size."""
    return lambda pictures: list(settings["white"] - np.stack(pictures))


def load_labelling(settings: Any, device: str) -> Callable[[Pictures], list[NDArray[np.uint8]]]:
    """A network that finds ids up to 127."""
    return lambda pictures: [picture[..., 0] // 2 for picture in pictures]


def test_a_network_s_conditions_are_made_from_prepared_pictures_and_mirror_images(
    deepfashion_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CONDITIONS, "inverted", Condition("inverted", load=load_inverting))
    white, root = {"white": np.uint8(255)}, deepfashion_root
    samples = extract(root, "deepfashion", "inverted", settings=white, fit="buckets", flip=True)
    assert len(samples) == 4 and samples[1].key.endswith("-flipped")
    for sample in samples:
        condition = decode_condition(sample)
        assert condition is not None and sample.labels is None
        assert np.abs(255 - condition.astype(int) - decode_image(sample)).mean() < 4


def test_a_network_stands_in_for_an_annotation_that_the_data_set_lacks(
    coco_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    either = replace(CONDITIONS["segmentation"], load=load_labelling)
    monkeypatch.setitem(CONDITIONS, "segmentation", either)
    samples = extract(coco_root, "coco", "segmentation", "val")
    assert len(samples) == 2
    for sample in samples:
        picture, condition, labels = arrays(sample)
        assert np.abs(labels.astype(int) - picture[..., 0] // 2).mean() < 3
        np.testing.assert_array_equal(condition, colourise(labels.astype(np.uint8)))


WRITE = """
import sys
from pathlib import Path
from oft.prepare.extraction import extract_split
from oft.prepare.packing import pack_split
from oft.prepare.prepared import read_prepared, write_prepared
from oft.shards.shards import write_shards
from oft.settings.data import Dataset
from oft.types import Counts

root, folder = map(Path, sys.argv[1:])
settings = Dataset.model_validate_json((root / "settings.json").read_text())
counts = Counts()
(folder / "prepared").mkdir(parents=True)
samples = extract_split(settings, "canny", {}, root, "train", 64, 95, counts)
write_prepared(folder / "prepared", "train", samples, {"made": "here"})
prepared = read_prepared(folder / "prepared", "train")
packed = pack_split(
    "mine", settings.captions, prepared.samples, root / "captions.jsonl", "train", Counts(), 0
)
write_shards(packed, folder / "shards", "train", 4, params=prepared.made_with, counts=counts)
"""


def test_bytes_do_not_depend_on_the_number_of_workers(
    tmp_path: Path, save_picture: Callable[..., Path], truncate: Callable[..., Path]
) -> None:
    """From picture files to finished shards, in processes of their own as stages are."""
    root = tmp_path / "set"
    (root / "val").mkdir(parents=True)  # all of train trains
    for number in range(20):
        save_picture(
            root / "train" / f"{number:02d}.png", seed=number, height_px=40 + 7 * (number % 5), width_px=60
        )
    truncate(root / "train" / "11.png")
    save_picture(root / "val" / "0.png")
    keys = [f"train-{number:02d}" for number in range(20)]
    write_captions(root / "captions.jsonl", [CaptionRecord(key, "train", (key,)) for key in keys])
    settings = dataset("image_folder", fit="buckets", flip=True)
    (root / "settings.json").write_text(settings.model_dump_json())
    written = {}
    for workers in ("1", "2"):
        folder = tmp_path / workers
        environment = {**os.environ, WORKERS: workers, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", WRITE, str(root), str(folder)]
        subprocess.run(command, env=environment, check=True, timeout=60)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        written[workers] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    assert written["1"] == written["2"]
    assert len([name for name in written["1"] if name.startswith("shards/train-")]) > 2 * 19 // 4


def test_the_network_of_segmentation_stands_in_for_maps(coco_root: Path, tmp_path: Path) -> None:
    model = {"model": str(save_segformer(tmp_path))}
    samples = extract(coco_root, "coco", "segmentation", "val", settings=model)
    assert len(samples) == 2
    for sample in samples:
        _, condition, labels = arrays(sample)
        assert labels.shape == (24, 24) and labels.min() >= 1
        np.testing.assert_array_equal(condition, colourise(labels.astype(np.uint8)))


def test_a_network_is_not_loaded_where_a_data_set_has_maps(ade20k_root: Path) -> None:
    assert extract(ade20k_root, "ade20k", "segmentation", resolution_px=16, settings={"model": "/nowhere"})


def test_depth_is_taken_from_a_data_set_that_has_it(depth_root: Path) -> None:
    samples = extract(depth_root, "hub_depth", "depth", resolution_px=16, settings={"model": "/nowhere"})
    assert len(samples) == 3
    for sample in samples:
        condition = decode_condition(sample)
        assert condition is not None and (condition.min(), condition.max()) == (0, 255)


def test_a_condition_that_a_network_makes_keeps_no_id_map(coco_root: Path, tmp_path: Path) -> None:
    model = {"model": str(save_depth_anything(tmp_path))}
    for sample in extract(coco_root, "coco", "depth", "val", settings=model):
        condition = decode_condition(sample)
        assert condition is not None and condition.shape == (24, 24, 3) and sample.labels is None
