from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

from oft.conditions.annotators import silenced, without_package_init
from oft.conditions.condition import AnnotatorSettings
from oft.conditions.hed import load_hed
from oft.errors import DataError
from oft.evaluation.controlnetpp import hed
from oft.evaluation.controlnetpp.hed import NAME, score_similarity
from oft.evaluation.measure import Measurements
from tests.oft.conditions.test_annotators import save_hed


@pytest.fixture
def maps(photographs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey levels, and the same with noise, stronger from picture to picture."""
    truth = photographs[..., 1]
    noise = np.random.default_rng(0).normal(size=truth.shape) * np.arange(1, 5)[:, None, None] * 12
    return np.rint(truth + noise).clip(0, 255).astype(np.uint8), truth


def test_the_score_is_that_of_eval_edge(maps: tuple[np.ndarray, np.ndarray]) -> None:
    found, truth = (torch.from_numpy(levels[:, None]) for levels in maps)
    similarity = MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0)
    expected = float(similarity((found / 255.0).clip(0, 1), (truth / 255.0).clip(0, 1)))
    assert score_similarity(*maps, batch_size=8).mean() == pytest.approx(expected, rel=1e-6)


def test_equal_maps_score_one_and_noise_costs(maps: tuple[np.ndarray, np.ndarray]) -> None:
    found, truth = maps
    assert score_similarity(truth, truth, 8) == pytest.approx(1)
    scores = score_similarity(found, truth, 8)
    assert (np.diff(scores) < 0).all() and scores[0] < 1


def test_neither_the_batch_nor_the_side_matters(maps: tuple[np.ndarray, np.ndarray]) -> None:
    found, truth = maps
    scores = score_similarity(found, truth, 8)
    np.testing.assert_allclose(score_similarity(found, truth, 3), scores, rtol=1e-5)
    np.testing.assert_allclose(score_similarity(truth, found, 8), scores, rtol=1e-5)


def test_small_pictures_are_refused(maps: tuple[np.ndarray, np.ndarray]) -> None:
    found, truth = (levels[:, : hed.MIN_SIDE_PX, : hed.MIN_SIDE_PX] for levels in maps)
    assert np.isfinite(score_similarity(found, truth, 8)).all()
    with pytest.raises(DataError, match=r"needs pictures of 176 px or more, not \[175, 192\]"):
        score_similarity(maps[0][:, :175], maps[1][:, :175], 8)
    with pytest.raises(DataError, match="one shape"):
        score_similarity(maps[0], maps[1][:2], 8)


def test_the_network_of_the_conditions_judges(photographs: np.ndarray, tmp_path: Path) -> None:
    with torch.random.fork_rng(), without_package_init(), silenced():
        torch.manual_seed(0)
        save_hed(tmp_path)
    settings = AnnotatorSettings(model=str(tmp_path), resolution_px=192)
    extract = load_hed(settings.model_dump(), "cpu")
    pictures = photographs[:2]
    task: Any = SimpleNamespace(
        conditions=SimpleNamespace(hed=settings),
        judges=SimpleNamespace(device=torch.device("cpu")),
        settings=SimpleNamespace(batch_size=2),
        conditioning_images=np.stack(extract(list(pictures))),
        compared={"": (pictures[[1, 1]], np.array([0, 1])), "_real": (pictures, np.arange(2))},
    )
    measured = Measurements()
    hed.FAMILY.measure(task, measured)
    wrong, right = measured.scores[NAME]
    assert right == pytest.approx(1, abs=1e-4) and wrong < 0.9
    assert measured.metrics[NAME] == pytest.approx((right + wrong) / 2)
    assert measured.metrics[f"{NAME}_real"] == pytest.approx(1, abs=1e-4)
    assert measured.metrics["controlnetpp_judge"] == str(tmp_path)
