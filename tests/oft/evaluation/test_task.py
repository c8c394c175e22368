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
from oft.evaluation.metric import SUBJECT
from oft.evaluation.registry import measure_task
from oft.evaluation.similarity import score_text_image
from oft.evaluation.task import (
    TaskFiles,
    read_generated,
    read_task,
    reconstruct,
    stack,
    stack_labels,
)
from oft.models.base import Base
from oft.params import Params
from oft.sampling import plan
from oft.shards.samples import write_samples
from oft.shards.shards import Sample, pack_sample, write_shards
from oft.storage import write_json

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
    assert metrics[metric] == pytest.approx(metrics[f"{metric}_ceiling"])
    assert metrics[metric] == pytest.approx(metrics[f"{metric}_reconstruction"])
    assert condition != "canny" or metrics[metric] == pytest.approx(1)
    assert metrics["clip_t"] == pytest.approx(metrics["clip_t_ceiling"])
    assert metrics["num_images"] == metrics["num_real_images"] == 8
    assert "fid" not in metrics, "eight pictures are too few for a distribution"
    assert [row["key"] for row in measured.score_rows()] == [f"s{i}" for i in range(8)]
    assert all(metric in row for row in measured.score_rows())
    keys = {row["key"] for row in measured.target_rows()}
    counted = {name: {row["key"] for row in rows} for name, rows in measured.count_rows().items()}
    everything = {f"s{i}" for i in range(8)}
    if condition == "canny":
        assert (keys, counted) == (everything, {})
    else:
        names = ("generated", "real", "reconstructed")
        assert (keys, counted) == (set(), dict.fromkeys(names, everything))


def test_a_condition_without_a_score_of_its_own_has_those_of_every_task(
    base: Base, control_task: tuple[Path, Path], judges: Path, params: Params
) -> None:
    measured = measure_control_task("depth", control_task, base, judges, params)
    assert measured.metrics["clip_t"] == pytest.approx(measured.metrics["clip_t_ceiling"])
    assert {key.partition("_ceiling")[0] for key in measured.metrics} == {
        "clip_t",
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
    assert measured.metrics["fid"] == pytest.approx(0, abs=1e-4)
    assert measured.metrics["fid_ceiling"] > measured.metrics["fid"]
    assert measured.metrics["num_ceiling_images"] == 4


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
    assert measured.metrics["clip_t"] == pytest.approx(expected.mean(), abs=1e-5)
    rows = measured.score_rows()
    assert [row["clip_t"] for row in rows] == pytest.approx(expected, abs=1e-5)
    assert len({(row["key"], row["index"]) for row in rows}) == 4
    assert {"key", "index", "clip_i", "dino", "clip_t"} == set(rows[0])
    assert {"clip_i", "clip_i_ceiling", "dino", "dino_ceiling", "lpips_diversity"} < set(measured.metrics)
    counted = {name: value for name, value in measured.metrics.items() if name.startswith("num_")}
    assert counted == {"num_images": 4, "num_prompts": 2, "num_real_images": 4}
