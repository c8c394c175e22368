"""Evaluating a task: the right pictures for every key, and metrics that agree where they must."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from oft.errors import DataError
from oft.evaluation import distribution
from oft.evaluation.features import Judge, extract_clip_images, extract_clip_texts
from oft.evaluation.measure import Measurements
from oft.evaluation.metric import STYLE, SUBJECT
from oft.evaluation.registry import measure_task
from oft.evaluation.similarity import score_text_image
from oft.evaluation.task import (
    TaskFiles,
    read_generated,
    read_task,
    reconstruct,
    stack,
    stack_conditions,
    stack_labels,
    stack_landmarks,
)
from oft.models.base import Base
from oft.params import Params
from oft.sampling import plan
from oft.shards.samples import write_samples
from oft.shards.shards import Sample, pack_sample, write_shards
from oft.storage import write_json
from tests.oft.evaluation.controlnetpp.conftest import save_mask2former

CAPTIONS = ["a red car", "a green house", "the sea", "a house by the sea"] * 2


class IdentityAutoencoder:
    """An autoencoder that loses nothing."""

    device = torch.device("cpu")

    def encode(self, images: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=images))

    def decode(self, latents: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=latents)


def base_with(vae: object) -> Base:
    """Return a base of which evaluation reads the autoencoder alone."""
    return Base(unet=None, vae=vae, text_encoder=None, tokenizer=None, noise_scheduler=None, hash="")


@pytest.fixture
def base() -> Base:
    return base_with(IdentityAutoencoder())


@pytest.fixture
def judges(tmp_path: Path, segmenter_folder: Path, extractor_folder: Path, clip_folder: Path) -> Path:
    """The tiny judges under the names that a task looks for."""
    folder = tmp_path / "judges"
    folder.mkdir()
    for name in ("segmenter", "part_segmenter"):
        (folder / name).symlink_to(segmenter_folder)
    (folder / "extractor").symlink_to(extractor_folder)
    (folder / "clip").symlink_to(clip_folder)
    return folder


def sample_folder(folder: Path, prompts: dict[str, str], num_samples: int, pictures: np.ndarray) -> Path:
    """Write the pictures as what was sampled for the prompts, dealt out to two tars."""
    folder.mkdir(parents=True)
    drawn = list(zip(plan(prompts, num_samples, seed=0), pictures, strict=True))
    for shard in range(2):
        write_samples(folder / f"{shard}.tar", drawn[shard::2])
    return folder


@pytest.fixture
def control_task(tmp_path: Path, pictures: np.ndarray) -> tuple[Path, Path]:
    """Shards of eight validation and four training pictures, and samples that are the validation pictures."""
    ids = np.random.default_rng(0).integers(1, 5, (8, 32, 32), dtype=np.uint8)
    packed = [
        pack_sample(f"s{i}", pictures[i], labels=ids[i], meta={"captions": [CAPTIONS[i]]}, lossless=True)
        for i in range(8)
    ]
    others = [pack_sample(f"t{i}", 255 - pictures[i], lossless=True) for i in range(4)]
    shards = tmp_path / "shards"
    write_shards(packed, shards, "val", 8)
    write_shards(others, shards, "train", 8)
    prompts = {f"s{i}": CAPTIONS[i] for i in range(8)}
    return shards, sample_folder(tmp_path / "samples", prompts, 1, pictures)


def measure_control_task(
    condition: str, folders: tuple[Path, Path], base: Base, judges: Path, params: Params
) -> Measurements:
    """Measure a task whose shards and samples lie in two folders."""
    files = TaskFiles(*folders, num_sample_shards=2)
    return measure_task(read_task(condition, files, base, judges, params.evaluate, params.conditions, seed=0))


def test_generated_pictures_know_their_sources_whatever_tar_they_lie_in(tmp_path: Path) -> None:
    pictures = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    folder = sample_folder(tmp_path / "samples", {"b": "a car", "a": "the sea"}, 2, pictures)
    generated = read_generated(folder, 2, ["b", "a"])
    assert generated.requests == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert generated.sources.tolist() == [1, 1, 0, 0]
    assert generated.prompts == ["the sea", "the sea", "a car", "a car"]
    np.testing.assert_array_equal(generated.pictures, pictures)


@pytest.mark.parametrize(("keys", "odd"), [(["a"], "b"), (["a", "b", "c"], "c"), (["b", "d"], "a")])
def test_keys_of_samples_and_shards_must_be_the_same(tmp_path: Path, keys: list[str], odd: str) -> None:
    pictures = np.zeros((2, 8, 8, 3), np.uint8)
    folder = sample_folder(tmp_path / "samples", {"a": "a car", "b": "the sea"}, 1, pictures)
    with pytest.raises(DataError, match=f"samples: {odd} is only among .*run `dvc repro` again"):
        read_generated(folder, 2, keys)


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0\.tar: missing; .*dvc repro"):
        read_generated(tmp_path, 1, ["a"])


def test_stacks_hold_the_samples_pictures_and_id_maps(pictures: np.ndarray) -> None:
    side_px = pictures.shape[1]
    ids = np.arange(2 * side_px * side_px).reshape(2, side_px, side_px).astype(np.uint8)
    samples = [pack_sample(f"s{i}", pictures[i], labels=ids[i], lossless=True) for i in range(2)]
    np.testing.assert_array_equal(stack(samples, side_px), pictures[:2])
    wide = pack_sample("wide", np.pad(pictures[2], ((0, 0), (2, 2), (0, 0))), lossless=True)
    np.testing.assert_array_equal(stack([samples[0], wide], side_px), pictures[[0, 2]])
    np.testing.assert_array_equal(stack_labels(samples), ids)
    bare: list[Sample] = [*samples, pack_sample("bare", pictures[2])]
    with pytest.raises(DataError, match="sample bare has no id map"):
        stack_labels(bare)


def test_landmarks_are_those_of_the_sample_at_the_size_of_the_generated_pictures() -> None:
    points = np.random.default_rng(0).uniform(0, 31, (2, 68, 2)).round(3)
    picture = np.zeros((32, 32, 3), np.uint8)
    samples = [pack_sample(f"s{i}", picture, meta={"landmarks": points[i].tolist()}) for i in range(2)]
    np.testing.assert_allclose(stack_landmarks(samples, 32), points)
    # Centres of pixels lie at whole numbers: at twice the size the first pixel's is at half a pixel.
    np.testing.assert_allclose(stack_landmarks(samples, 64), 2 * points + 0.5)
    with pytest.raises(DataError, match="sample bare has no landmarks"):
        stack_landmarks([*samples, pack_sample("bare", picture)], 32)


def test_conditioning_images_are_those_of_the_samples(pictures: np.ndarray) -> None:
    samples = [pack_sample(f"s{i}", pictures[i], pictures[i + 1]) for i in range(2)]
    np.testing.assert_array_equal(stack_conditions(samples), pictures[1:3])
    with pytest.raises(DataError, match="sample bare has no conditioning image"):
        stack_conditions([*samples, pack_sample("bare", pictures[0])])


def test_without_a_judge_of_landmarks_they_are_left_out_and_it_is_said(
    base: Base, control_task: tuple[Path, Path], judges: Path, params: Params
) -> None:
    measured = measure_control_task("landmarks", control_task, base, judges, params)
    assert not any(name.startswith("landmark") for name in measured.metrics)
    assert measured.metrics["missing_judges"] == "landmarks"


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_lossless_autoencoder_gives_the_pictures_back(
    base: Base, pictures: np.ndarray, batch_size: int
) -> None:
    np.testing.assert_array_equal(reconstruct(base, pictures, batch_size), pictures)


def test_reconstructions_have_the_pictures_shape_and_stay_in_range(pictures: np.ndarray) -> None:
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
    )
    found = reconstruct(base_with(vae.eval()), pictures[:3], 2)
    assert found.shape == (3, 32, 32, 3) and found.dtype == np.uint8

    class Bright(IdentityAutoencoder):
        def decode(self, latents: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(sample=latents.abs() + 5)

    assert (reconstruct(base_with(Bright()), pictures[:1], 1) == 255).all()


@pytest.mark.parametrize(
    ("condition", "metric"),
    [("segmentation", "aacc"), ("densepose", "part_accuracy"), ("canny", "canny_f1")],
)
def test_samples_that_are_the_real_pictures_reach_the_ceiling(
    condition: str,
    metric: str,
    base: Base,
    control_task: tuple[Path, Path],
    judges: Path,
    params: Params,
) -> None:
    measured = measure_control_task(condition, control_task, base, judges, params)
    metrics = measured.metrics
    assert metrics[metric] == pytest.approx(metrics[f"{metric}_real"])
    assert metrics[metric] == pytest.approx(metrics[f"{metric}_reconstruction"])
    assert condition != "canny" or metrics[metric] == pytest.approx(1)
    for suffix in ("_real", "_reconstruction"):
        assert metrics["prompt_similarity"] == pytest.approx(metrics[f"prompt_similarity{suffix}"])
    assert metrics["num_images"] == metrics["num_real_images"] == 8
    assert "frechet_distance" not in metrics, "eight pictures are too few for a distribution"
    assert [row["key"] for row in measured.score_rows()] == [f"s{i}" for i in range(8)]
    for row in measured.score_rows():
        assert row[metric] == pytest.approx(row[f"{metric}_reconstruction"])
    assert bool(measured.class_pixel_rows()) == (condition != "canny")


def test_controlnetpp_s_protocol_changes_nothing_of_the_reference_s(
    base: Base, control_task: tuple[Path, Path], judges: Path, params: Params, tmp_path: Path
) -> None:
    folder = tmp_path / "mask2former"
    folder.mkdir()
    protocol = params.evaluate.controlnetpp
    on = protocol.model_copy(update={"enabled": True, "segmenter": str(save_mask2former(folder, 150))})
    both = params.model_copy(
        update={"evaluate": params.evaluate.model_copy(update={"controlnetpp": on})}, deep=True
    )
    without, beside = (
        measure_control_task("segmentation", control_task, base, judges, each) for each in (params, both)
    )
    added = {"controlnetpp_judge", *(f"controlnetpp_miou{end}" for end in ("", "_real", "_reconstruction"))}
    assert beside.metrics.keys() - without.metrics.keys() == added
    assert beside.metrics["controlnetpp_miou"] == beside.metrics["controlnetpp_miou_reconstruction"]
    assert without.metrics == {name: beside.metrics[name] for name in without.metrics}
    assert without.score_rows() == beside.score_rows() and without.confusion == beside.confusion
    for alone, row in zip(without.class_pixel_rows(), beside.class_pixel_rows(), strict=True):
        assert alone == {part: row[part] for part in alone}
        pixels = {"controlnetpp", "controlnetpp_real", "controlnetpp_reconstruction"}
        assert row.keys() - alone.keys() == pixels


def test_a_condition_without_a_score_of_its_own_has_those_of_every_task(
    base: Base, control_task: tuple[Path, Path], judges: Path, params: Params
) -> None:
    measured = measure_control_task("hed", control_task, base, judges, params)
    assert set(measured.metrics) == {
        "prompt_similarity",
        "prompt_similarity_real",
        "prompt_similarity_reconstruction",
        "num_images",
        "num_real_images",
    }


def test_distributions_are_measured_once_there_are_pictures_enough(
    base: Base,
    control_task: tuple[Path, Path],
    judges: Path,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distribution, "MIN_IMAGES", 4)
    measured = measure_control_task("canny", control_task, base, judges, params)
    assert measured.metrics["frechet_distance"] == pytest.approx(0, abs=1e-4)
    assert measured.metrics["frechet_distance_reconstruction"] == pytest.approx(0, abs=1e-4)
    assert measured.metrics["frechet_distance_train_val"] > measured.metrics["frechet_distance"]
    assert measured.metrics["num_train_val_images"] == 4


def test_a_subject_is_judged_by_its_prompts_without_the_identifier(
    base: Base, judges: Path, clip: Judge, tmp_path: Path, pictures: np.ndarray, params: Params
) -> None:
    prompts = {"p00": "a sks car", "p01": "a sks house by the sea"}
    shards = tmp_path / "shards"
    real = [pack_sample(f"dog-{i}", pictures[i], lossless=True) for i in range(4, 8)]
    write_shards(real, shards, "train", 8)
    write_json(shards / "prompts.json", {"class": "car", "identifier": "sks", "prompts": prompts})
    samples = sample_folder(tmp_path / "samples", prompts, 2, pictures[:4])
    files = TaskFiles(shards, samples, 2)
    measured = measure_task(read_task(SUBJECT, files, base, judges, params.evaluate, params.conditions, 0))
    read = ["a car"] * 2 + ["a house by the sea"] * 2
    expected = score_text_image(
        extract_clip_texts(read, clip, params.evaluate.batch_size),
        extract_clip_images(pictures[:4], clip, params.evaluate.batch_size),
    )
    assert measured.metrics["prompt_similarity"] == pytest.approx(expected.mean(), abs=1e-5)
    rows = measured.score_rows()
    assert [row["prompt_similarity"] for row in rows] == pytest.approx(expected, abs=1e-5)
    assert len({(row["key"], row["index"]) for row in rows}) == 4
    similarities = {"subject_similarity", "subject_similarity_image_text"}
    assert {"key", "index", "prompt_similarity", *similarities} == set(rows[0])
    references = {f"{name}{suffix}" for name in similarities for suffix in ("_real", "_reconstruction")}
    assert {"diversity", *similarities, *references} < set(measured.metrics)
    counted = {name: value for name, value in measured.metrics.items() if name.startswith("num_")}
    assert counted == {"num_images": 4, "num_prompts": 2, "num_real_images": 4}


def test_a_style_is_measured_on_both_splits_and_its_distribution_on_the_held_out_one(
    base: Base,
    judges: Path,
    tmp_path: Path,
    pictures: np.ndarray,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distribution, "MIN_IMAGES", 4)
    shards = tmp_path / "shards"
    packed = [
        pack_sample(f"s{i}", pictures[i], meta={"captions": [CAPTIONS[i]]}, lossless=True) for i in range(8)
    ]
    # Of four training pictures two are asked for.
    write_shards(packed[:4], shards, "train", 8)
    write_shards(packed[4:], shards, "val", 8)
    prompts = {f"s{i}": CAPTIONS[i] for i in (1, 2, 4, 5, 6, 7)}
    write_json(shards / "prompts.json", {"prompts": prompts, "seen": ["s1", "s2"]})
    samples = sample_folder(tmp_path / "samples", prompts, 1, pictures[[1, 2, 4, 5, 6, 7]])
    files = TaskFiles(shards, samples, 2)
    task = read_task(STYLE, files, base, judges, params.evaluate, params.conditions, 0)
    assert task.unseen.tolist() == [False] * 2 + [True] * 4
    assert task.drawn_unseen.tolist() == [False] * 2 + [True] * 4
    measured = measure_task(task)
    metrics = measured.metrics
    # What was drawn are the real pictures themselves.
    assert metrics["frechet_distance"] == pytest.approx(0, abs=1e-4)
    assert metrics["num_train_val_images"] == 4 and metrics["num_real_images"] == 6
    assert metrics["prompt_similarity"] == pytest.approx(metrics["prompt_similarity_real"])
    assert metrics["style_similarity_seen"] == pytest.approx(metrics["style_similarity_seen_real"])
    # A real picture is not compared with itself.
    assert metrics["style_similarity_unseen"] > metrics["style_similarity_unseen_real"]
    rows = {row["key"]: row for row in measured.score_rows()}
    assert rows["s1"]["style_similarity_unseen"] is None and rows["s4"]["style_similarity_seen"] is None
