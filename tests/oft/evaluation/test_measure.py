"""All metrics of a task: each picture against its own source, ceilings beside, plain values for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest

from oft.evaluation.canny import measure_edges
from oft.evaluation.class_pixels import mean_iou
from oft.evaluation.densepose import measure_parts, part_accuracy, part_miou
from oft.evaluation.distribution import measure_distribution
from oft.evaluation.diversity import measure_diversity
from oft.evaluation.features import Judge, extract_features, extract_pyramid
from oft.evaluation.measure import Generated, Measurements, compared_pictures
from oft.evaluation.segmentation import extract_label_maps, measure_segmentation
from oft.evaluation.similarity import (
    compute_similarity_of_others,
    measure_subject,
    measure_text,
    score_pairwise,
)
from oft.params import Params

SUFFIXES = ("", "_real", "_reconstruction")


def generated_from(pictures: np.ndarray, sources: Sequence[int]) -> Generated:
    """Return pictures made from the real ones at ``sources``."""
    count = len(pictures)
    return Generated(
        pictures,
        np.array(sources),
        [f"prompt {i}" for i in range(count)],
        [(f"k{i}", 0) for i in range(count)],
    )


def colour(pictures: np.ndarray) -> np.ndarray:
    """Mean colours [n, 3] as features."""
    means: np.ndarray = pictures.mean(axis=(1, 2)).astype(np.float32) / 255
    return means


def test_metrics_become_plain_json_of_eight_digits() -> None:
    measured = Measurements()
    measured.add({"a": 1 / 3, "b": float("nan"), "c": 7})
    measured.add({"a": float(np.float64(123456.789012))}, "_real")
    measured.metrics["name"] = "miniature"
    rounded = measured.rounded()
    assert rounded == {"a": 0.33333333, "b": None, "c": 7, "a_real": 123456.79, "name": "miniature"}
    assert isinstance(rounded["c"], int)
    assert json.loads(json.dumps(rounded, allow_nan=False)) == rounded


def test_every_picture_has_a_row_and_a_missing_score_is_null(pictures: np.ndarray) -> None:
    requests = generated_from(pictures[:2], [0, 1]).requests
    measured = Measurements(scores={"f1": [0.123456789012, math.nan], "aacc": [1.0, 0.0]}, requests=requests)
    assert measured.score_rows() == [
        {"key": "k0", "index": 0, "f1": 0.12345679, "aacc": 1.0},
        {"key": "k1", "index": 0, "f1": None, "aacc": 0.0},
    ]


def test_without_scores_there_are_no_rows(pictures: np.ndarray) -> None:
    measured = Measurements(requests=generated_from(pictures[:2], [0, 1]).requests)
    assert measured.score_rows() == [] and measured.class_pixel_rows() == []


def test_beside_each_picture_stands_what_its_source_scores(pictures: np.ndarray) -> None:
    generated = generated_from(pictures[:3], [4, 4, 1])
    measured = Measurements(requests=generated.requests)
    measured.add_reference_scores("f1", "_real", np.arange(8.0), generated.sources)
    assert [row["f1_real"] for row in measured.score_rows()] == [4, 4, 1]
    assert measured.metrics == {"f1_real": 3.5}  # each real picture counts once


def test_pixels_of_absent_classes_are_left_out_of_the_rows(pictures: np.ndarray) -> None:
    counts = np.array([[0, 0, 0], [3, 4, 5], [0, 0, 1]])
    requests = generated_from(pictures[:1], [0]).requests
    measured = Measurements(class_pixels={"": [counts], "_real": [counts[:2]]}, requests=requests)
    assert measured.class_pixel_rows() == [
        {"key": "k0", "index": 0, "generated": {"1": [3, 4, 5], "2": [0, 0, 1]}, "real": {"1": [3, 4, 5]}}
    ]


def test_real_pictures_are_compared_with_themselves(pictures: np.ndarray) -> None:
    compared = compared_pictures(generated_from(pictures[:3], [4, 4, 1]), pictures, pictures)
    assert {suffix: sources.tolist() for suffix, (_, sources) in compared.items()} == {
        "": [4, 4, 1],
        "_real": list(range(8)),
        "_reconstruction": list(range(8)),
    }


def test_segmentation_is_measured_against_the_map_of_each_picture_s_own_source(
    pictures: np.ndarray, segmenter: Judge, params: Params
) -> None:
    """True maps: the judge's own for even pictures, never its own for odd ones, none at all for the last."""
    predicted = extract_label_maps(pictures, segmenter, params.evaluate.batch_size, offset=1)
    labels = predicted.copy()
    labels[1::2] = predicted[1::2] % 5 + 1
    labels[7] = 0
    sources = [3, 0, 0, 2, 7]
    generated = generated_from(pictures[sources], sources)
    measured = Measurements()
    compared = compared_pictures(generated, pictures, pictures)
    measure_segmentation(compared, labels, segmenter, params.evaluate, measured)
    # Another batch may turn a tie.
    assert measured.scores["aacc"] == pytest.approx([0, 1, 1, 1, math.nan], abs=0.01, nan_ok=True)
    assert measured.metrics["aacc"] == pytest.approx(3 / 4, abs=0.01)
    for suffix in ("_real", "_reconstruction"):
        assert measured.metrics[f"aacc{suffix}"] == pytest.approx(4 / 7, abs=0.01)
    assert {f"{name}{suffix}" for name in ("miou", "macc", "aacc") for suffix in SUFFIXES} == set(
        measured.metrics
    )
    assert measured.confusion and {"actual", "predicted", "share"} == set(measured.confusion[0])
    # The real pictures' own scores, once each in the metric and beside every picture drawn from them.
    assert measured.scores["aacc_real"] == pytest.approx([0, 1, 1, 1, math.nan], abs=0.01, nan_ok=True)
    for suffix in SUFFIXES:
        counts = np.stack(measured.class_pixels[suffix])
        assert len(counts) == len(sources)
        if not suffix:
            assert float(mean_iou(counts.sum(axis=0))) == pytest.approx(measured.metrics["miou"])


def test_parts_are_measured_where_there_is_a_figure(
    pictures: np.ndarray, segmenter: Judge, params: Params
) -> None:
    predicted = extract_label_maps(pictures, segmenter, params.evaluate.batch_size)
    parts = predicted.copy()
    parts[1::2] += 1
    sources = [1, 0, 5]
    measured = Measurements()
    compared = compared_pictures(generated_from(pictures[sources], sources), pictures, pictures)
    measure_parts(compared, parts, segmenter, params.evaluate, measured)
    right = 1.0 if parts[0].any() else math.nan
    assert measured.scores["part_accuracy"] == pytest.approx([0, right, 0], abs=0.01, nan_ok=True)
    names = ("part_accuracy", "part_miou", "foreground_iou")
    assert {f"{name}{suffix}" for name in names for suffix in SUFFIXES} == set(measured.metrics)
    assert measured.confusion
    whole = np.stack(measured.class_pixels[""]).sum(axis=0)
    assert float(part_accuracy(whole)) == pytest.approx(measured.metrics["part_accuracy"])
    assert float(part_miou(whole)) == pytest.approx(measured.metrics["part_miou"])


def test_edges_are_compared_with_those_of_the_source(pictures: np.ndarray) -> None:
    """Pictures equal to their source, with the opposite edges, and without any edge on both sides."""

    def edges(stack: np.ndarray) -> np.ndarray:
        return np.where(stack[..., 0] > 127, 255, 0).astype(np.uint8)

    real = pictures.copy()
    real[2] = 0
    generated = generated_from(np.stack([real[4], 255 - real[1], real[2]]), [4, 1, 2])
    measured = Measurements()
    measure_edges(compared_pictures(generated, real, real), edges, real, measured)
    assert measured.scores["canny_f1"] == pytest.approx([1, 0, math.nan], nan_ok=True)
    assert measured.scores["canny_f1_reconstruction"] == pytest.approx([1, 1, math.nan], nan_ok=True)
    assert (measured.metrics["canny_f1"], measured.metrics["canny_empty"]) == (0.5, 1)
    for suffix in ("_real", "_reconstruction"):
        assert measured.metrics[f"canny_iou{suffix}"] == measured.metrics[f"canny_f1{suffix}"] == 1
        assert measured.metrics[f"canny_empty{suffix}"] == 1


def test_the_distance_of_distributions_is_zero_for_equal_pictures_and_follows_the_generator(
    pictures: np.ndarray, params: Params
) -> None:
    def measure(generated: np.ndarray, others: np.ndarray) -> dict[str, float]:
        measured = Measurements()
        rng = np.random.default_rng(0)
        measure_distribution(
            generated, pictures, pictures[::-1], others, colour, params.evaluate, rng, measured
        )
        return measured.metrics

    metrics = measure(pictures, pictures[:6] // 2)
    assert metrics["frechet_distance"] == pytest.approx(0, abs=1e-6)
    assert metrics["frechet_distance_reconstruction"] == pytest.approx(0, abs=1e-6)
    assert metrics["frechet_distance_train_val"] > 1e-3
    assert metrics["num_train_val_images"] == 6
    names = ("frechet_distance", "kernel_distance", "kernel_distance_std")
    suffixes = ("", "_reconstruction", "_train_val")
    assert {f"{name}{suffix}" for name in names for suffix in suffixes} < set(metrics)
    assert measure(pictures, pictures[:6] // 2) == metrics


def test_each_picture_is_paired_with_its_own_prompt(pictures: np.ndarray) -> None:
    """A picture's feature is the direction of its first value; a prompt names such a value."""

    def images(stack: np.ndarray) -> np.ndarray:
        return texts([str(value) for value in stack[:, 0, 0, 0]])

    def texts(prompts: Sequence[str]) -> np.ndarray:
        return np.array([[float(prompt), 255 - float(prompt)] for prompt in prompts], dtype=np.float32)

    generated = generated_from(pictures[:4], [0, 1, 2, 3])
    named = [str(value) for value in pictures[:4, 0, 0, 0]]
    alone, paired, shuffled = Measurements(), Measurements(), Measurements()
    measure_text(generated, named, images, texts, alone)
    assert alone.metrics == {"prompt_similarity": pytest.approx(1)}
    captions = ["0"] * len(pictures)
    measure_text(generated, named, images, texts, paired, {"_real": pictures}, captions)
    expected = (texts(["0"]) * images(pictures)).sum(axis=1) / 255 / np.linalg.norm(images(pictures), axis=1)
    assert paired.metrics["prompt_similarity_real"] == pytest.approx(expected.mean())
    assert paired.scores["prompt_similarity_real"] == pytest.approx(expected[:4])
    measure_text(generated, [*named[1:], named[0]], images, texts, shuffled)
    assert shuffled.metrics["prompt_similarity"] < 0.999


def test_a_subject_s_pictures_are_compared_with_all_real_ones_and_within_a_prompt(
    pictures: np.ndarray, extractor: Judge
) -> None:
    features = partial(extract_features, judge=extractor, batch_size=4)
    pyramid = partial(extract_pyramid, judge=extractor, batch_size=4)
    real = pictures[4:]

    def measure(chosen: list[int]) -> Measurements:
        measured = Measurements()
        generated = generated_from(pictures[chosen], [0, 0, 1, 1])
        extractors: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "by_colour": colour,
            "by_features": features,
        }
        for name, extract in extractors.items():
            measure_subject(name, generated, real, real, extract, measured)
        measure_diversity(generated, pyramid, measured)
        return measured

    measured = measure([0, 1, 2, 3])
    metrics = measured.metrics
    by_colour = score_pairwise(colour(pictures[:4]), colour(real))
    by_features = score_pairwise(features(pictures[:4]), features(real))
    assert measured.scores == {
        "by_colour": pytest.approx(by_colour),
        "by_features": pytest.approx(by_features),
    }
    assert metrics["by_colour"] == pytest.approx(by_colour.mean())
    assert metrics["by_features"] == pytest.approx(by_features.mean())
    ceiling = compute_similarity_of_others(features(real), features(real))
    assert metrics["by_features_real"] == metrics["by_features_reconstruction"] == pytest.approx(ceiling)
    assert metrics["diversity"] > 1e-3
    assert measure([0, 0, 1, 1]).metrics["diversity"] == pytest.approx(0, abs=1e-6)
