"""The judges of landmarks and depth: losses that follow the truth, and networks that their loaders take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from miniature import architecture
from miniature.pool import Pool, render_pool
from miniature.shape_judges import depth_objective, landmark_objective, mirror_points
from miniature.training import FitSettings, fit
from oft.conditions.landmarks import MIRRORED_LANDMARKS
from oft.evaluation.depth import extract_depth
from oft.evaluation.features import load_depth_judge, load_landmark_judge
from oft.evaluation.landmarks import extract_landmarks, score_landmarks
from oft.prepare.geometry import mirror_annotation


@pytest.fixture(scope="module")
def faces_and_circles() -> Pool:
    return render_pool("face", 6, seed=0) + render_pool("circle", 6, seed=0)


@pytest.fixture(scope="module")
def scenes() -> Pool:
    return render_pool("scene", 8, seed=0)


def save(judge: Any, folder: Path) -> None:
    judge.half().save_pretrained(folder)
    architecture.save_preprocessing(folder)


def test_the_landmark_judge_learns_faces_and_that_circles_are_none(
    faces_and_circles: Pool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    objective = landmark_objective(faces_and_circles)
    settings = FitSettings(60, 12, 3e-3, warmup_steps=5, ema_decay=0.8)
    (judge,), rows = fit(
        "landmarks", objective.modules.values(), objective.compute_loss, len(faces_and_circles), settings, 0
    )
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])
    save(judge, tmp_path)
    loaded = load_landmark_judge(tmp_path)
    points, found = extract_landmarks(faces_and_circles.images, loaded, batch_size=5)
    assert found.tolist() == [True] * 6 + [False] * 6
    error, _ = score_landmarks(points[:6], faces_and_circles.landmarks[:6].astype(np.float64), found[:6])
    assert error.mean() < 8


def test_points_are_mirrored_as_those_of_the_pipeline(faces_and_circles: Pool) -> None:
    points = faces_and_circles.landmarks[:6]
    mirrored = mirror_points(torch.from_numpy((points + 0.5) / 64)).numpy() * 64 - 0.5
    for one, other in zip(points, mirrored, strict=True):
        expected = mirror_annotation("landmarks", one, 64, MIRRORED_LANDMARKS)
        np.testing.assert_allclose(other, expected, atol=1e-3)


def test_the_depth_judge_learns(scenes: Pool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    objective = depth_objective(scenes)
    settings = FitSettings(100, 8, 2e-3, warmup_steps=5, ema_decay=0.8)
    (judge,), rows = fit(
        "depth", objective.modules.values(), objective.compute_loss, len(scenes), settings, 0
    )
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    save(judge, tmp_path)
    found = extract_depth(scenes.images, load_depth_judge(tmp_path), batch_size=3)
    assert found.shape == (8, 64, 64)
    correlations = [
        np.corrcoef(one.ravel(), truth.astype(np.float32).ravel())[0, 1]
        for one, truth in zip(found, scenes.depth, strict=True)
    ]
    assert np.mean(correlations) > 0.6


def test_pictures_without_depth_are_refused(faces_and_circles: Pool) -> None:
    with pytest.raises(ValueError, match="has no depth"):
        depth_objective(faces_and_circles)
