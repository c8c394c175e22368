"""Parity with torchmetrics, in one file because its import takes seconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)
from torchmetrics.functional.image.lpips import _normalize_tensor, _spatial_average
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from oft.evaluation.distribution import compute_frechet_distance, compute_mmd
from oft.evaluation.diversity import compute_distances
from oft.evaluation.segmentation import compute_segmentation, confusion_matrix

NUM_CLASSES = 6


def test_segmentation() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, NUM_CLASSES, (3, 16, 16), dtype=np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, NUM_CLASSES, truth.shape))
    matrix = confusion_matrix(predicted.astype(np.uint8), truth, NUM_CLASSES, ignore_id=None)
    p, t = torch.tensor(predicted), torch.tensor(truth).long()
    np.testing.assert_array_equal(matrix, multiclass_confusion_matrix(p, t, NUM_CLASSES).numpy())
    assert compute_segmentation(matrix) == pytest.approx(
        {
            "miou": float(multiclass_jaccard_index(p, t, NUM_CLASSES, average="macro")),
            "macc": float(multiclass_accuracy(p, t, NUM_CLASSES, average="macro")),
            "aacc": float(multiclass_accuracy(p, t, NUM_CLASSES, average="micro")),
        },
        rel=1e-6,
    )


def test_ignored_id() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, NUM_CLASSES, (2, 16, 16), dtype=np.uint8)
    predicted = rng.integers(0, NUM_CLASSES, truth.shape, dtype=np.uint8)
    np.testing.assert_array_equal(
        confusion_matrix(predicted, truth, NUM_CLASSES, ignore_id=0),
        multiclass_confusion_matrix(
            torch.tensor(predicted), torch.tensor(truth).long(), NUM_CLASSES, ignore_index=0
        ),
    )


def test_fid() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(80, 5)), rng.normal(0.3, 2, size=(90, 5)) @ rng.normal(size=(5, 5))
    moments = [torch.tensor(m) for x in (a, b) for m in (x.mean(0), np.cov(x, rowvar=False))]
    assert compute_frechet_distance(a, b) == pytest.approx(float(_compute_fid(*moments)))


def test_kid() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 5)), rng.normal(0.3, 2, size=(40, 5))
    assert compute_mmd(a, b) == pytest.approx(float(poly_mmd(torch.tensor(a), torch.tensor(b))))


def test_lpips_with_unit_weights() -> None:
    rng = np.random.default_rng(0)
    first, second = ([rng.normal(size=(3, c, s, s)) for c, s in ((4, 8), (8, 4))] for _ in range(2))
    expected = sum(
        _spatial_average(
            ((_normalize_tensor(torch.tensor(a)) - _normalize_tensor(torch.tensor(b))) ** 2).sum(
                1, keepdim=True
            )
        ).flatten()
        for a, b in zip(first, second, strict=True)
    )
    np.testing.assert_allclose(compute_distances(first, second), expected, rtol=1e-6)
