"""Pretraining: a function of its seed, and its loop does minimise."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from miniature.networks import nt_xent_loss, random_crops
from miniature.pool import VIEWS_PER_TOY, render
from miniature.pretrain import ade_targets
from miniature.training import FitSettings, fit, rate_factor, to_tensor


def fit_line(
    seed: int, checkpoint: Path | None = None, stop_at_step: int | None = None
) -> tuple[torch.Tensor, list[float]]:
    steps = count()
    torch.manual_seed(0)
    line = nn.Linear(2, 1)
    inputs = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    targets = inputs @ torch.tensor([[2.0], [-1.0]])

    def compute_loss(
        indices: np.ndarray, rng: np.random.Generator, generator: torch.Generator
    ) -> torch.Tensor:
        if next(steps) == stop_at_step:
            raise KeyboardInterrupt
        chosen = torch.from_numpy(indices)
        loss: torch.Tensor = (line(inputs[chosen]) - targets[chosen]).square().mean()
        return loss

    settings = FitSettings(200, 16, 0.05, warmup_steps=5, ema_decay=0.9)
    (averaged,), rows = fit("line", [line], compute_loss, 64, settings, seed, checkpoint)
    return averaged.weight.clone(), [float(row["loss"]) for row in rows]


def test_fitting_follows_the_seed_and_minimises() -> None:
    first, losses = fit_line(3)
    assert torch.equal(first, fit_line(3)[0])
    assert losses[-1] < 0.05 * losses[0]


def test_a_fit_that_was_interrupted_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miniature.training.CHECKPOINT_EVERY_STEPS", 50)
    whole, losses = fit_line(3)
    with pytest.raises(KeyboardInterrupt):
        fit_line(3, tmp_path / "state", stop_at_step=130)
    resumed, again = fit_line(3, tmp_path / "state")
    assert torch.equal(whole, resumed) and losses == again


def test_the_rate_warms_up_and_decays_to_zero() -> None:
    settings = FitSettings(100, 1, 1.0, warmup_steps=10)
    assert rate_factor(0, settings) == 0.1 and rate_factor(10, settings) == 1.0
    assert rate_factor(100, settings) < 1e-12
    shorter = FitSettings(80, 1, 1.0, decay_steps=100, warmup_steps=10)
    assert rate_factor(79, shorter) == rate_factor(79, settings)


def test_a_rendered_picture_depends_on_seed_kind_and_index() -> None:
    first, again = render("scene", 1, 5), render("scene", 1, 5)
    assert np.array_equal(first.image, again.image) and first.captions == again.captions
    assert not np.array_equal(first.image, render("scene", 2, 5).image)
    assert render("figure", 1, 0).image.shape == (64, 64, 3)


def test_views_in_a_row_show_one_toy() -> None:
    captions = [render("toy", 0, index).captions[1] for index in range(2 * VIEWS_PER_TOY)]
    colours = [" ".join(caption.split()[:3]) for caption in captions]
    assert len(set(colours[:VIEWS_PER_TOY])) == 1


def test_targets_ignore_other_and_start_at_zero() -> None:
    labels = np.array([[0, 1], [150, 3]], np.uint8)
    assert ade_targets(labels).tolist() == [[255, 0], [149, 2]]


def test_the_nt_xent_loss_is_least_where_pairs_agree() -> None:
    features = torch.eye(4)
    agreeing = nt_xent_loss(torch.cat([features, features]))
    crossed = nt_xent_loss(torch.cat([features, features.roll(1, 0)]))
    assert agreeing < 0.01 < crossed


def test_crops_keep_the_size() -> None:
    pictures = to_tensor(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8))
    assert random_crops(pictures, np.random.default_rng(0)).shape == pictures.shape
