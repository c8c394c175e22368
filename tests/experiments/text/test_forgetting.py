"""What has not moved is not forgotten."""

from __future__ import annotations

import pytest
import torch

from experiments.text.forgetting import energy_change, similarity_moves


def test_similarities_in_the_old_order_correlate_fully_however_far_they_moved() -> None:
    before = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    moved = similarity_moves(before, before + 0.3)
    assert moved["similarity_spearman"] == pytest.approx(1.0)
    assert moved["similarity_change"] == pytest.approx(0.3)
    assert similarity_moves(before, before.flip(0))["similarity_spearman"] == pytest.approx(-1.0)


def test_the_layer_that_moved_most_counts() -> None:
    assert energy_change({"a": 2.0, "b": 4.0}, {"a": 2.1, "b": 3.6}) == pytest.approx(0.1)
