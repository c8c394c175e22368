from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from oft.conditions.ade20k_classes import NUM_CLASSES
from oft.errors import CheckpointError, DataError
from oft.evaluation.controlnetpp import segmentation
from oft.evaluation.controlnetpp.segmentation import NAME, extract_ade20k_labels, measure_labels
from oft.evaluation.features import Judge, load_mask2former
from oft.evaluation.measure import Measurements
from tests.oft.evaluation.controlnetpp.conftest import save_mask2former


@pytest.fixture(scope="module")
def judge(mask2former_folder: Path) -> Judge:
    return load_mask2former(mask2former_folder)


@pytest.fixture(scope="module")
def small(photographs: np.ndarray) -> np.ndarray:
    return photographs[:, ::2, ::2]


def test_each_query_s_mask_counts_by_the_probability_of_its_classes(judge: Judge, small: np.ndarray) -> None:
    """Its authors' semantic inference, query by query, of the pictures at their own size."""
    mean, std = (torch.tensor(judge.preprocessing.mean), torch.tensor(judge.preprocessing.std))
    pixels = ((torch.from_numpy(small[:1].copy()) / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        output = judge.model(pixel_values=pixels)
    scores = torch.zeros(NUM_CLASSES, 96, 96, dtype=torch.float64)
    assert output.class_queries_logits.shape[2] == NUM_CLASSES + 1  # the last is "no object"
    for classes, mask in zip(output.class_queries_logits[0], output.masks_queries_logits[0], strict=True):
        large = torch.nn.Upsample(size=(96, 96), mode="bilinear")(mask[None, None].double())[0, 0]
        exponents = classes.double().exp()
        for number in range(NUM_CLASSES):
            scores[number] += exponents[number] / exponents.sum() / (1 + (-large).exp())
    labels = extract_ade20k_labels(small[:1], judge, 1)[0]
    assert (labels == scores.argmax(0).numpy() + 1).mean() > 0.999
    assert len(np.unique(labels)) > 1


def test_maps_do_not_depend_on_the_batch(judge: Judge, small: np.ndarray) -> None:
    maps = extract_ade20k_labels(small, judge, 4)
    assert maps.dtype == np.uint8 and maps.shape == small.shape[:3] and maps.min() >= 1
    assert (extract_ade20k_labels(small, judge, 3) == maps).mean() > 0.999


def test_another_network_is_refused(small: np.ndarray, tmp_path: Path, segmenter_folder: Path) -> None:
    few = load_mask2former(save_mask2former(tmp_path, 19))
    with pytest.raises(CheckpointError, match=r"must have ADE20K's 150 classes, not 19"):
        extract_ade20k_labels(small, few, 4)
    with pytest.raises(CheckpointError, match="describes a segformer model, a mask2former model is needed"):
        load_mask2former(segmenter_folder)


def measure(predicted: np.ndarray, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Measurements:
    """Measure pictures whose labels a perfect judge reads in their red channel."""
    monkeypatch.setattr(segmentation, "extract_ade20k_labels", lambda pictures, *_: pictures[..., 0])
    pictures, judge = np.repeat(predicted[..., None], 3, axis=3), Any
    compared = {"": (pictures, np.arange(len(truth))), "_real": (pictures[::-1], np.arange(len(truth)))}
    measured = Measurements(requests=[("key", index) for index in range(len(truth))])
    measure_labels(compared, truth, judge, 4, measured)  # type: ignore[arg-type]
    return measured


def test_miou_is_scikit_learn_s_over_the_classes_that_occur(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, (3, 16, 16), dtype=np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(1, 9, truth.shape))
    predicted = predicted.astype(np.uint8).clip(1)
    measured = measure(predicted, truth, monkeypatch)
    counted = truth != 0
    expected = jaccard_score(truth[counted], predicted[counted], labels=range(1, 9), average="macro")
    assert measured.metrics[NAME] == pytest.approx(expected)
    assert set(measured.metrics) == {NAME, f"{NAME}_real"}


def test_pixels_of_each_picture_give_the_metric_and_have_their_own_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = np.array([[[1, 1, 2, 0]], [[3, 3, 3, 3]]], np.uint8)
    measured = measure(np.array([[[1, 2, 2, 7]], [[3, 3, 3, 4]]], np.uint8), truth, monkeypatch)
    (metric,) = segmentation.FAMILY.metrics
    rows = measured.class_pixel_rows()
    assert set(rows[0]) == {"key", "index", metric.pixels_of(""), metric.pixels_of("_real")}
    assert "generated" not in rows[0] and "real" not in rows[0]
    assert rows[0][metric.pixels_of("")] == {"1": [1, 2, 1], "2": [1, 1, 2]}
    assert metric.pooled is not None
    summed = np.sum(measured.class_pixels[segmentation.PIXELS], axis=0)
    assert metric.pooled(summed) == pytest.approx(measured.metrics[NAME])
    assert measured.metrics[NAME] == pytest.approx((1 / 2 + 1 / 2 + 3 / 4 + 0) / 4)


def test_label_maps_without_a_class_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="every true id is the ignored one"):
        measure(np.ones((2, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8), monkeypatch)


def test_the_setting_s_network_judges(small: np.ndarray, mask2former_folder: Path, judge: Judge) -> None:
    task: Any = SimpleNamespace(
        settings=SimpleNamespace(
            batch_size=4, controlnetpp=SimpleNamespace(segmenter=str(mask2former_folder))
        ),
        judges=SimpleNamespace(device="cpu"),
        labels=extract_ade20k_labels(small, judge, 4),
        compared={"": (small, np.arange(4)), "_real": (small[::-1], np.arange(4))},
    )
    measured = Measurements()
    segmentation.FAMILY.measure(task, measured)
    assert measured.metrics["controlnetpp_judge"] == str(mask2former_folder)
    assert measured.metrics[NAME] == 1 and measured.metrics[f"{NAME}_real"] < 1
